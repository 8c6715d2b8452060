-- A task row is updated about ten times in its life: room on the page keeps those updates off the
-- indexes, and early vacuuming keeps the queue's index free of dead entries however deep it is.
ALTER TABLE "tasks" SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
--> statement-breakpoint
ALTER TABLE "task_stages" SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
