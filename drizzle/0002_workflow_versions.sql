CREATE TABLE "workflow_versions" (
	"name" text NOT NULL,
	"hash" text NOT NULL,
	"source_hash" text NOT NULL,
	"definition" jsonb NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "workflow_versions_name_hash_pk" PRIMARY KEY("name","hash")
);
--> statement-breakpoint
DROP INDEX "tasks_ready";--> statement-breakpoint
ALTER TABLE "tasks" ADD COLUMN "sources" jsonb;--> statement-breakpoint
ALTER TABLE "tasks" ADD COLUMN "workflow_hash" text DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "tasks" ADD COLUMN "arguments" jsonb DEFAULT '{}' NOT NULL;--> statement-breakpoint
ALTER TABLE "tasks" ALTER COLUMN "arguments" DROP DEFAULT;--> statement-breakpoint
ALTER TABLE "tasks" ADD COLUMN "outputs" jsonb;--> statement-breakpoint
-- The one input and the one output of a task from before are the first of several.
UPDATE "tasks" SET
  "sources" = jsonb_build_array("source" || jsonb_build_object('input', "kind")),
  "outputs" = CASE WHEN "output" IS NOT NULL THEN jsonb_build_array("output" || '{"name": "result"}') END;--> statement-breakpoint
ALTER TABLE "tasks" ALTER COLUMN "sources" SET NOT NULL;--> statement-breakpoint
CREATE INDEX "workflow_versions_of_source" ON "workflow_versions" USING btree ("name","source_hash","created_at");--> statement-breakpoint
CREATE INDEX "tasks_ready" ON "tasks" USING btree ("workflow","workflow_hash","tenant","rank","seq") WHERE "tasks"."state" = 'pending' and "tasks"."run_after" is null and "tasks"."avoid" is null;