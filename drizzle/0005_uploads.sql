CREATE TABLE "task_uploads" (
	"task_id" uuid NOT NULL,
	"upload_id" uuid NOT NULL,
	CONSTRAINT "task_uploads_task_id_upload_id_pk" PRIMARY KEY("task_id","upload_id")
);
--> statement-breakpoint
CREATE TABLE "uploads" (
	"id" uuid PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"name" text,
	"size" bigint,
	"open_until" timestamp (3) with time zone,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
ALTER TABLE "task_uploads" ADD CONSTRAINT "task_uploads_task_id_tasks_id_fk" FOREIGN KEY ("task_id") REFERENCES "tasks"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "task_uploads" ADD CONSTRAINT "task_uploads_upload_id_uploads_id_fk" FOREIGN KEY ("upload_id") REFERENCES "uploads"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "task_uploads_of_upload" ON "task_uploads" USING btree ("upload_id");