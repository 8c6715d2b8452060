CREATE TABLE "held_sources" (
	"run_id" uuid NOT NULL,
	"input" text NOT NULL,
	"gateway" uuid,
	"note" jsonb,
	"object_key" text,
	"stored_at" timestamp (3) with time zone,
	"rests_until" timestamp (3) with time zone,
	CONSTRAINT "held_sources_run_id_input_pk" PRIMARY KEY("run_id","input")
);
--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "is_unread" boolean DEFAULT false NOT NULL;--> statement-breakpoint
CREATE INDEX "runs_unread" ON "runs" USING btree ("workflow","workflow_hash","tenant","rank","seq") WHERE "runs"."state" = 'pending' and "runs"."run_after" is null and "runs"."needs" = '{}' and "runs"."is_unread";