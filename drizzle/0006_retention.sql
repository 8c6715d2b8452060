ALTER TABLE "backends" ADD COLUMN "input_dir" text;--> statement-breakpoint
ALTER TABLE "tasks" ADD COLUMN "stored_bytes" bigint;--> statement-breakpoint
ALTER TABLE "tasks" ADD COLUMN "keep_until" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "tasks" ADD COLUMN "collected_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "tasks" ADD COLUMN "removed_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "tasks" ADD COLUMN "fingerprint" text;--> statement-breakpoint
CREATE INDEX "tasks_stored" ON "tasks" USING btree ("finished_at") WHERE "tasks"."state" = 'completed' and "tasks"."removed_at" is null;--> statement-breakpoint
CREATE INDEX "tasks_kept_until" ON "tasks" USING btree ("keep_until") WHERE "tasks"."keep_until" is not null and "tasks"."removed_at" is null;--> statement-breakpoint
CREATE INDEX "tasks_fingerprint" ON "tasks" USING btree ("fingerprint") WHERE "tasks"."fingerprint" is not null and "tasks"."removed_at" is null;