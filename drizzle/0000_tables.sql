CREATE TABLE "attempts" (
	"id" uuid PRIMARY KEY NOT NULL,
	"task_id" uuid NOT NULL,
	"number" integer NOT NULL,
	"workflow" text NOT NULL,
	"backend" text NOT NULL,
	"prompt_id" uuid,
	"posted_at" timestamp (3) with time zone,
	"gpu_ms" integer,
	"input" jsonb,
	"workflow_hash" text,
	"error" jsonb,
	"started_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"finished_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "backends" (
	"label" text PRIMARY KEY NOT NULL,
	"url" text,
	"wanted" text DEFAULT 'active' NOT NULL,
	"owner" uuid,
	"generation" bigint DEFAULT 0 NOT NULL,
	"lease_until" timestamp (3) with time zone,
	"report" jsonb,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"known_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "gateways" (
	"id" uuid PRIMARY KEY NOT NULL,
	"started_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"lease_until" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "task_counts" (
	"workflow" text NOT NULL,
	"state" text NOT NULL,
	"shard" integer NOT NULL,
	"count" bigint NOT NULL,
	CONSTRAINT "task_counts_workflow_state_shard_pk" PRIMARY KEY("workflow","state","shard")
);
--> statement-breakpoint
CREATE TABLE "task_stages" (
	"task_id" uuid NOT NULL,
	"name" text NOT NULL,
	"state" text DEFAULT 'pending' NOT NULL,
	"progress" integer DEFAULT 0 NOT NULL,
	"detail" text,
	"started_at" timestamp (3) with time zone,
	"finished_at" timestamp (3) with time zone,
	CONSTRAINT "task_stages_task_id_name_pk" PRIMARY KEY("task_id","name")
);
--> statement-breakpoint
CREATE TABLE "tasks" (
	"id" uuid PRIMARY KEY NOT NULL,
	"seq" bigint GENERATED ALWAYS AS IDENTITY (sequence name "tasks_seq_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"dialect" text NOT NULL,
	"kind" text NOT NULL,
	"source" jsonb NOT NULL,
	"workflow" text NOT NULL,
	"size" jsonb NOT NULL,
	"params" jsonb NOT NULL,
	"priority" integer NOT NULL,
	"tenant" text DEFAULT '' NOT NULL,
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
	"output" jsonb,
	"error" jsonb,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"started_at" timestamp (3) with time zone,
	"finished_at" timestamp (3) with time zone,
	CONSTRAINT "tasks_owned_while_processing" CHECK (("tasks"."state" = 'processing') = ("tasks"."owner" is not null)),
	CONSTRAINT "tasks_priority" CHECK ("tasks"."priority" between 0 and 10)
);
--> statement-breakpoint
ALTER TABLE "attempts" ADD CONSTRAINT "attempts_task_id_tasks_id_fk" FOREIGN KEY ("task_id") REFERENCES "tasks"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "task_stages" ADD CONSTRAINT "task_stages_task_id_tasks_id_fk" FOREIGN KEY ("task_id") REFERENCES "tasks"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "attempts_of_task" ON "attempts" USING btree ("task_id","number");--> statement-breakpoint
CREATE INDEX "attempts_durations" ON "attempts" USING btree ("workflow","started_at") WHERE "attempts"."gpu_ms" is not null;--> statement-breakpoint
CREATE INDEX "attempts_unfinished" ON "attempts" USING btree ("started_at") WHERE "attempts"."finished_at" is null;--> statement-breakpoint
CREATE UNIQUE INDEX "tasks_seq" ON "tasks" USING btree ("seq");--> statement-breakpoint
CREATE INDEX "tasks_of_tenant" ON "tasks" USING btree ("tenant","seq");--> statement-breakpoint
CREATE INDEX "tasks_ready" ON "tasks" USING btree ("workflow","tenant","rank","seq") WHERE "tasks"."state" = 'pending' and "tasks"."run_after" is null and "tasks"."avoid" is null;--> statement-breakpoint
CREATE INDEX "tasks_retried" ON "tasks" USING btree ("rank","seq") WHERE "tasks"."state" = 'pending' and "tasks"."run_after" is null and "tasks"."avoid" is not null;--> statement-breakpoint
CREATE INDEX "tasks_waiting" ON "tasks" USING btree ("run_after") WHERE "tasks"."state" = 'pending' and "tasks"."run_after" is not null;--> statement-breakpoint
CREATE INDEX "tasks_expiring" ON "tasks" USING btree ("queue_deadline") WHERE "tasks"."state" = 'pending';--> statement-breakpoint
CREATE INDEX "tasks_leased" ON "tasks" USING btree ("lease_until") WHERE "tasks"."state" = 'processing';