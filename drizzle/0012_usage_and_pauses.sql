CREATE TABLE "pauses" (
	"kind" text NOT NULL,
	"name" text NOT NULL,
	"reason" text,
	"since" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"until" timestamp (3) with time zone,
	CONSTRAINT "pauses_kind_name_pk" PRIMARY KEY("kind","name")
);
--> statement-breakpoint
CREATE TABLE "tenant_totals" (
	"tenant" text NOT NULL,
	"shard" integer NOT NULL,
	"stored_bytes" bigint DEFAULT 0 NOT NULL,
	"charged_ms" bigint DEFAULT 0 NOT NULL,
	CONSTRAINT "tenant_totals_tenant_shard_pk" PRIMARY KEY("tenant","shard")
);
--> statement-breakpoint
CREATE TABLE "usage" (
	"day" date NOT NULL,
	"tenant" text NOT NULL,
	"workflow" text NOT NULL,
	"shard" integer NOT NULL,
	"submitted" bigint DEFAULT 0 NOT NULL,
	"completed" bigint DEFAULT 0 NOT NULL,
	"failed" bigint DEFAULT 0 NOT NULL,
	"canceled" bigint DEFAULT 0 NOT NULL,
	"gpu_ms" bigint DEFAULT 0 NOT NULL,
	"source_bytes" bigint DEFAULT 0 NOT NULL,
	"stored_bytes" bigint DEFAULT 0 NOT NULL,
	CONSTRAINT "usage_day_tenant_workflow_shard_pk" PRIMARY KEY("day","tenant","workflow","shard")
);
--> statement-breakpoint
ALTER TABLE "attempts" ADD COLUMN "used_ms" integer;--> statement-breakpoint
ALTER TABLE "attempts" ADD COLUMN "source_bytes" bigint;
--> statement-breakpoint
-- Few rows, updated with every task.
ALTER TABLE "tenant_totals" SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
--> statement-breakpoint
-- Those of the day are updated with every task, the others no more.
ALTER TABLE "usage" SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);
--> statement-breakpoint
-- What is known of the time before: of attempts, only how long those had the GPU that came to a good end.
INSERT INTO "usage" (
  "day", "tenant", "workflow", "shard", "submitted", "completed", "failed", "canceled", "gpu_ms", "stored_bytes")
SELECT
  "day", "tenant", "workflow", 0, sum("submitted"), sum("completed"), sum("failed"), sum("canceled"), sum("gpu_ms"),
  sum("stored_bytes")
FROM (
  SELECT ("created_at" AT TIME ZONE 'UTC')::date AS "day", "tenant", "workflow", 1 AS "submitted", 0 AS "completed",
         0 AS "failed", 0 AS "canceled", 0 AS "gpu_ms", 0::bigint AS "stored_bytes"
    FROM "tasks"
  UNION ALL
  SELECT ("finished_at" AT TIME ZONE 'UTC')::date, "tenant", "workflow", 0, ("state" = 'completed')::int,
         ("state" = 'failed')::int, ("state" = 'canceled')::int, 0, coalesce("stored_bytes", 0)
    FROM "tasks" WHERE "finished_at" IS NOT NULL
  UNION ALL
  SELECT ("attempts"."started_at" AT TIME ZONE 'UTC')::date, "runs"."tenant", "runs"."workflow", 0, 0, 0, 0,
         "attempts"."gpu_ms", 0
    FROM "attempts" JOIN "runs" ON "runs"."id" = "attempts"."run_id"
   -- The move that ends the present one counts it.
   WHERE "gpu_ms" IS NOT NULL AND ("runs"."state" <> 'processing' OR "attempts"."number" < "runs"."attempt")
) AS "known"
GROUP BY "day", "tenant", "workflow";
--> statement-breakpoint
INSERT INTO "tenant_totals" ("tenant", "shard", "stored_bytes")
SELECT "tenant", 0, sum("stored_bytes") FROM "tasks"
 WHERE "outputs" IS NOT NULL AND "removed_at" IS NULL AND "stored_bytes" > 0
 GROUP BY "tenant";
--> statement-breakpoint
-- For those who delete tasks by hand.
CREATE FUNCTION count_deleted_results() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO tenant_totals AS t (tenant, shard, stored_bytes)
  SELECT tenant, pg_backend_pid() % 16, -sum(stored_bytes) FROM deleted
   WHERE outputs IS NOT NULL AND removed_at IS NULL AND stored_bytes > 0 GROUP BY tenant ORDER BY tenant
  ON CONFLICT (tenant, shard) DO UPDATE SET stored_bytes = t.stored_bytes + excluded.stored_bytes;
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER tasks_deleted_results AFTER DELETE ON tasks REFERENCING OLD TABLE AS deleted
  FOR EACH STATEMENT EXECUTE FUNCTION count_deleted_results();
