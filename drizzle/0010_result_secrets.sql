CREATE TABLE "ended_counts" (
	"tenant" text NOT NULL,
	"workflow" text NOT NULL,
	"state" text NOT NULL,
	"shard" integer NOT NULL,
	"count" bigint NOT NULL,
	CONSTRAINT "ended_counts_tenant_workflow_state_shard_pk" PRIMARY KEY("tenant","workflow","state","shard")
);
--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "secret" text;
--> statement-breakpoint
ALTER TABLE "uploads" ADD COLUMN "secret" text;
--> statement-breakpoint
CREATE INDEX "tasks_open" ON "tasks" USING btree ("tenant","created_at") WHERE "tasks"."finished_at" is null;
--> statement-breakpoint
INSERT INTO "ended_counts" ("tenant", "workflow", "state", "shard", "count")
SELECT "tenant", "workflow", "state", 0, count(*) FROM "tasks"
 WHERE "tenant" <> '' AND "state" IN ('completed', 'failed', 'canceled') GROUP BY 1, 2, 3;
--> statement-breakpoint
-- As before, and with the counts of tenants.
CREATE OR REPLACE FUNCTION count_deleted_tasks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO task_counts AS c (workflow, state, shard, count)
  SELECT workflow, state, pg_backend_pid() % 16, -count(*) FROM deleted GROUP BY 1, 2 ORDER BY 1, 2
  ON CONFLICT (workflow, state, shard) DO UPDATE SET count = c.count + excluded.count;
  INSERT INTO ended_counts AS c (tenant, workflow, state, shard, count)
  SELECT tenant, workflow, state, pg_backend_pid() % 16, -count(*) FROM deleted
   WHERE tenant <> '' AND state IN ('completed', 'failed', 'canceled') GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
  ON CONFLICT (tenant, workflow, state, shard) DO UPDATE SET count = c.count + excluded.count;
  DELETE FROM runs USING deleted
   WHERE runs.id = deleted.run_id AND NOT EXISTS (SELECT FROM tasks WHERE tasks.id = ANY (runs.task_ids));
  UPDATE runs SET task_ids = array(
      SELECT left_id FROM unnest(runs.task_ids) WITH ORDINALITY AS left_tasks (left_id, place)
       WHERE EXISTS (SELECT FROM tasks WHERE tasks.id = left_id) ORDER BY place)
    FROM deleted WHERE runs.id = deleted.run_id;
  RETURN NULL;
END $$;
