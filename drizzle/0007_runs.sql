CREATE TABLE "runs" (
	"id" uuid PRIMARY KEY NOT NULL,
	"seq" bigint GENERATED ALWAYS AS IDENTITY (sequence name "runs_seq_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"task_ids" uuid[] NOT NULL,
	"kind" text NOT NULL,
	"workflow" text NOT NULL,
	"workflow_hash" text DEFAULT '' NOT NULL,
	"sources" jsonb NOT NULL,
	"arguments" jsonb NOT NULL,
	"size" jsonb NOT NULL,
	"tenant" text DEFAULT '' NOT NULL,
	"priority" integer NOT NULL,
	"rank" timestamp (3) with time zone NOT NULL,
	"queue_timeout_ms" bigint,
	"queue_deadline" timestamp (3) with time zone,
	"run_timeout_ms" bigint,
	"state" text DEFAULT 'pending' NOT NULL,
	"attempt" integer DEFAULT 0 NOT NULL,
	"retries" integer DEFAULT 0 NOT NULL,
	"avoid" text[],
	"owner" uuid,
	"lease_until" timestamp (3) with time zone,
	"run_after" timestamp (3) with time zone,
	"needs" uuid[] DEFAULT '{}' NOT NULL,
	"fingerprint" text,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"moved_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "runs_owned_while_processing" CHECK (("runs"."state" = 'processing') = ("runs"."owner" is not null))
);
--> statement-breakpoint
CREATE TABLE "task_events" (
	"task_id" uuid NOT NULL,
	"number" integer NOT NULL,
	"kind" text NOT NULL,
	"at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"gateway" uuid,
	"body" jsonb NOT NULL,
	CONSTRAINT "task_events_task_id_number_pk" PRIMARY KEY("task_id","number")
);
--> statement-breakpoint
ALTER TABLE "attempts" ADD COLUMN "run_id" uuid;
--> statement-breakpoint
ALTER TABLE "tasks" ADD COLUMN "run_id" uuid;
--> statement-breakpoint
ALTER TABLE "tasks" ADD COLUMN "events" integer DEFAULT 0 NOT NULL;
--> statement-breakpoint
ALTER TABLE "tasks" DROP CONSTRAINT "tasks_owned_while_processing";
--> statement-breakpoint
DROP INDEX "attempts_of_task";
--> statement-breakpoint
DROP INDEX "tasks_ready";
--> statement-breakpoint
DROP INDEX "tasks_retried";
--> statement-breakpoint
DROP INDEX "tasks_waiting";
--> statement-breakpoint
DROP INDEX "tasks_expiring";
--> statement-breakpoint
DROP INDEX "tasks_leased";
--> statement-breakpoint
DROP INDEX "tasks_fingerprint";
--> statement-breakpoint
DROP INDEX "tasks_stored";
--> statement-breakpoint
-- Its rows are updated about five times in their lives: room on the page keeps most of those updates off the
-- indexes, and early vacuuming keeps the queue's index free of dead entries however deep it is.
ALTER TABLE "runs" SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
--> statement-breakpoint
-- Every task has had one run, which has its id. Whoever followed a twin looks for it anew.
INSERT INTO "runs" (
  "id", "task_ids", "kind", "workflow", "workflow_hash", "sources", "arguments", "size", "tenant", "priority",
  "rank", "queue_timeout_ms", "queue_deadline", "run_timeout_ms", "state", "attempt", "retries", "avoid",
  "owner", "lease_until", "run_after", "fingerprint", "created_at", "moved_at")
SELECT
  "id", ARRAY["id"], "kind", "workflow", "workflow_hash", "sources", "arguments", "size", "tenant", "priority",
  "rank", "queue_timeout_ms", "queue_deadline", "run_timeout_ms", "state", "attempt", "retries", "avoid",
  "owner", "lease_until", CASE WHEN "state" = 'pending' AND "fingerprint" IS NULL THEN "run_after" END,
  CASE WHEN "state" = 'completed' THEN "fingerprint" END, "created_at", "updated_at"
FROM "tasks" ORDER BY "seq";
--> statement-breakpoint
UPDATE "attempts" SET "run_id" = "task_id";
--> statement-breakpoint
ALTER TABLE "attempts" ADD CONSTRAINT "attempts_run_id_runs_id_fk" FOREIGN KEY ("run_id") REFERENCES "runs"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
ALTER TABLE "task_events" ADD CONSTRAINT "task_events_task_id_tasks_id_fk" FOREIGN KEY ("task_id") REFERENCES "tasks"("id") ON DELETE cascade ON UPDATE no action;
--> statement-breakpoint
-- They go with their run, which others may wait for; and no index finds those of one task.
ALTER TABLE "attempts" DROP CONSTRAINT "attempts_task_id_tasks_id_fk";
--> statement-breakpoint
CREATE INDEX "runs_ready" ON "runs" USING btree ("workflow","workflow_hash","tenant","rank","seq") WHERE "runs"."state" = 'pending' and "runs"."run_after" is null and "runs"."needs" = '{}' and "runs"."avoid" is null;
--> statement-breakpoint
CREATE INDEX "runs_retried" ON "runs" USING btree ("rank","seq") WHERE "runs"."state" = 'pending' and "runs"."run_after" is null and "runs"."needs" = '{}' and "runs"."avoid" is not null;
--> statement-breakpoint
CREATE INDEX "runs_waiting" ON "runs" USING btree ("run_after") WHERE "runs"."state" = 'pending' and "runs"."run_after" is not null;
--> statement-breakpoint
CREATE INDEX "runs_needing" ON "runs" USING gin ("needs") WHERE "runs"."needs" <> '{}';
--> statement-breakpoint
CREATE INDEX "runs_expiring" ON "runs" USING btree ("queue_deadline") WHERE "runs"."state" = 'pending' and "runs"."queue_deadline" is not null;
--> statement-breakpoint
CREATE INDEX "runs_leased" ON "runs" USING btree ("lease_until") WHERE "runs"."state" = 'processing';
--> statement-breakpoint
CREATE UNIQUE INDEX "runs_leading" ON "runs" USING btree ("fingerprint") WHERE "runs"."fingerprint" is not null and "runs"."state" in ('pending', 'processing');
--> statement-breakpoint
CREATE INDEX "runs_made" ON "runs" USING btree ("fingerprint") WHERE "runs"."fingerprint" is not null and "runs"."state" = 'completed';
--> statement-breakpoint
CREATE INDEX "task_events_at" ON "task_events" USING btree ("at");
--> statement-breakpoint
CREATE UNIQUE INDEX "attempts_of_run" ON "attempts" USING btree ("run_id","number");
--> statement-breakpoint
-- Counts are a step of the moves from now on.
DROP TRIGGER "tasks_inserted" ON "tasks";
--> statement-breakpoint
DROP TRIGGER "tasks_moved" ON "tasks";
--> statement-breakpoint
DROP FUNCTION count_inserted_tasks();
--> statement-breakpoint
DROP FUNCTION count_moved_task();
--> statement-breakpoint
-- For those who delete tasks by hand: what was to be run for them goes with them.
CREATE OR REPLACE FUNCTION count_deleted_tasks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO task_counts AS c (workflow, state, shard, count)
  SELECT workflow, state, pg_backend_pid() % 16, -count(*) FROM deleted GROUP BY 1, 2 ORDER BY 1, 2
  ON CONFLICT (workflow, state, shard) DO UPDATE SET count = c.count + excluded.count;
  DELETE FROM runs USING deleted
   WHERE runs.id = deleted.run_id AND NOT EXISTS (SELECT FROM tasks WHERE tasks.id = ANY (runs.task_ids));
  UPDATE runs SET task_ids = array(
      SELECT left_id FROM unnest(runs.task_ids) WITH ORDINALITY AS left_tasks (left_id, place)
       WHERE EXISTS (SELECT FROM tasks WHERE tasks.id = left_id) ORDER BY place)
    FROM deleted WHERE runs.id = deleted.run_id;
  RETURN NULL;
END $$;
--> statement-breakpoint
-- What follows lets gateways of the version before work beside those of this one for a while, and goes with
-- the next version (docs/decisions/026-a-rolling-deploy.md). Those keep the queue in "tasks", by columns that
-- nobody else looks at any more. To them every task waits for ever, so that they begin none.
ALTER TABLE "tasks" ALTER COLUMN "rank" SET DEFAULT now();
--> statement-breakpoint
ALTER TABLE "tasks" ALTER COLUMN "run_after" SET DEFAULT '9999-12-31T00:00:00Z';
--> statement-breakpoint
UPDATE "tasks" SET "run_id" = "id", "run_after" = CASE WHEN "state" = 'pending' THEN '9999-12-31T00:00:00Z'::timestamptz END;
--> statement-breakpoint
CREATE INDEX "tasks_stored" ON "tasks" USING btree ("finished_at") WHERE "tasks"."outputs" is not null and "tasks"."removed_at" is null;
--> statement-breakpoint
-- The run of a task that an older gateway has written: others number their first event.
CREATE FUNCTION name_run_of_older_gateway() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.run_id := gen_random_uuid();
  RETURN NEW;
END $$;
--> statement-breakpoint
CREATE TRIGGER tasks_run_named BEFORE INSERT ON tasks FOR EACH ROW
  WHEN (NEW.run_id IS NULL) EXECUTE FUNCTION name_run_of_older_gateway();
--> statement-breakpoint
CREATE FUNCTION plan_run_of_older_gateway() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO runs (
    id, task_ids, kind, workflow, workflow_hash, sources, arguments, size, tenant, priority, rank,
    queue_timeout_ms, queue_deadline, run_timeout_ms, state, created_at, moved_at)
  VALUES (
    NEW.run_id, ARRAY[NEW.id], NEW.kind, NEW.workflow, NEW.workflow_hash, NEW.sources, NEW.arguments, NEW.size,
    NEW.tenant, NEW.priority, NEW.rank, NEW.queue_timeout_ms, NEW.queue_deadline, NEW.run_timeout_ms, NEW.state,
    NEW.created_at, NEW.created_at);
  INSERT INTO task_events (task_id, number, kind, body) VALUES (NEW.id, 0, 'submitted', '{}');
  INSERT INTO task_counts AS c (workflow, state, shard, count)
  VALUES (NEW.workflow, NEW.state, pg_backend_pid() % 16, 1)
  ON CONFLICT (workflow, state, shard) DO UPDATE SET count = c.count + excluded.count;
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER tasks_run_planned AFTER INSERT ON tasks FOR EACH ROW
  WHEN (NEW.events = 0) EXECUTE FUNCTION plan_run_of_older_gateway();
--> statement-breakpoint
-- A move without an event is an older gateway's: it ends what it works on, or cancels for a client. The claim
-- is that of the run, whoever has it by now; a row that is not returned is one that the move does not find.
CREATE FUNCTION mirror_move_of_older_gateway() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.state = 'canceled' THEN
    UPDATE runs SET
      task_ids = CASE WHEN task_ids = ARRAY[NEW.id] THEN task_ids ELSE array_remove(task_ids, NEW.id) END,
      state = CASE WHEN task_ids = ARRAY[NEW.id] THEN 'canceled' ELSE state END,
      sources = CASE WHEN task_ids = ARRAY[NEW.id] THEN sources ELSE (
        SELECT heir.sources FROM tasks AS heir WHERE heir.id = (array_remove(task_ids, NEW.id))[1]) END,
      owner = CASE WHEN task_ids = ARRAY[NEW.id] THEN NULL ELSE owner END,
      lease_until = CASE WHEN task_ids = ARRAY[NEW.id] THEN NULL ELSE lease_until END,
      run_after = CASE WHEN task_ids = ARRAY[NEW.id] THEN NULL ELSE run_after END,
      moved_at = now()
    WHERE id = NEW.run_id;
  ELSIF OLD.owner IS NULL THEN
    RETURN NULL;
  ELSE
    UPDATE runs SET
      state = NEW.state, attempt = NEW.attempt, retries = NEW.retries, avoid = NEW.avoid, owner = NEW.owner,
      lease_until = NEW.lease_until, run_after = CASE WHEN NEW.state = 'pending' THEN NEW.run_after END,
      queue_deadline = NEW.queue_deadline,
      fingerprint = CASE WHEN NEW.state = 'completed' THEN NEW.fingerprint END, moved_at = now()
    WHERE id = NEW.run_id AND owner = OLD.owner AND attempt = OLD.attempt;
    IF NOT FOUND THEN RETURN NULL; END IF;
  END IF;
  IF NEW.state = 'pending' THEN NEW.run_after := '9999-12-31T00:00:00Z'; END IF;
  IF NEW.state IS DISTINCT FROM OLD.state THEN
    NEW.events := OLD.events + 1;
    INSERT INTO task_events (task_id, number, kind, body)
    VALUES (NEW.id, NEW.events, CASE NEW.state WHEN 'pending' THEN 'handed_back' ELSE NEW.state END, '{}');
    INSERT INTO task_counts AS c (workflow, state, shard, count)
    SELECT moved.workflow, moved.state, pg_backend_pid() % 16, moved.change
      FROM (VALUES (OLD.workflow, OLD.state, -1), (NEW.workflow, NEW.state, 1)) AS moved (workflow, state, change)
     ORDER BY 1, 2
    ON CONFLICT (workflow, state, shard) DO UPDATE SET count = c.count + excluded.count;
  END IF;
  RETURN NEW;
END $$;
--> statement-breakpoint
CREATE TRIGGER tasks_move_mirrored BEFORE UPDATE ON tasks FOR EACH ROW
  WHEN (NEW.events = OLD.events AND (
    OLD.state IS DISTINCT FROM NEW.state OR OLD.state = 'processing' AND OLD.owner IS NOT NULL))
  EXECUTE FUNCTION mirror_move_of_older_gateway();
--> statement-breakpoint
-- With the first move of this version an older gateway's claim is over, and none offers a task that waits: what
-- those of this version write would be taken for a move of the claim's, or be claimed there in vain.
CREATE FUNCTION withhold_from_older_gateways() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.events > OLD.events AND NEW.owner = OLD.owner THEN
    NEW.owner := NULL;
    NEW.lease_until := NULL;
  END IF;
  IF NEW.state = 'pending' THEN NEW.run_after := '9999-12-31T00:00:00Z'; END IF;
  RETURN NEW;
END $$;
--> statement-breakpoint
-- By its name it comes after "tasks_move_mirrored".
CREATE TRIGGER tasks_withheld BEFORE UPDATE ON tasks FOR EACH ROW
  WHEN (NEW.events > OLD.events AND NEW.owner = OLD.owner
        OR NEW.state = 'pending' AND NEW.run_after IS DISTINCT FROM '9999-12-31T00:00:00Z')
  EXECUTE FUNCTION withhold_from_older_gateways();
