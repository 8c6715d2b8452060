ALTER TABLE "attempts" DROP COLUMN "workflow_hash";--> statement-breakpoint
ALTER TABLE "tasks" DROP COLUMN "source";--> statement-breakpoint
ALTER TABLE "tasks" DROP COLUMN "output";