-- A task row is updated about ten times in its life: room on the page keeps those updates off the
-- indexes, and early vacuuming keeps the queue's index free of dead entries however deep it is.
ALTER TABLE "tasks" SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
--> statement-breakpoint
ALTER TABLE "task_stages" SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
--> statement-breakpoint
-- Few rows, updated with every task.
ALTER TABLE "task_counts" SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
--> statement-breakpoint
-- Rows are always taken in the order of their key, or two connections could wait for each other.
CREATE FUNCTION count_inserted_tasks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO task_counts AS c (workflow, state, shard, count)
  SELECT workflow, state, pg_backend_pid() % 16, count(*) FROM inserted GROUP BY 1, 2 ORDER BY 1, 2
  ON CONFLICT (workflow, state, shard) DO UPDATE SET count = c.count + excluded.count;
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE FUNCTION count_deleted_tasks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO task_counts AS c (workflow, state, shard, count)
  SELECT workflow, state, pg_backend_pid() % 16, -count(*) FROM deleted GROUP BY 1, 2 ORDER BY 1, 2
  ON CONFLICT (workflow, state, shard) DO UPDATE SET count = c.count + excluded.count;
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE FUNCTION count_moved_task() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO task_counts AS c (workflow, state, shard, count)
  SELECT moved.workflow, moved.state, pg_backend_pid() % 16, moved.change
    FROM (VALUES (OLD.workflow, OLD.state, -1), (NEW.workflow, NEW.state, 1)) AS moved (workflow, state, change)
   ORDER BY 1, 2
  ON CONFLICT (workflow, state, shard) DO UPDATE SET count = c.count + excluded.count;
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER tasks_inserted AFTER INSERT ON tasks REFERENCING NEW TABLE AS inserted
  FOR EACH STATEMENT EXECUTE FUNCTION count_inserted_tasks();
--> statement-breakpoint
CREATE TRIGGER tasks_deleted AFTER DELETE ON tasks REFERENCING OLD TABLE AS deleted
  FOR EACH STATEMENT EXECUTE FUNCTION count_deleted_tasks();
--> statement-breakpoint
CREATE TRIGGER tasks_moved AFTER UPDATE OF state ON tasks FOR EACH ROW
  WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION count_moved_task();
