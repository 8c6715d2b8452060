import { randomUUID } from 'node:crypto';
import { defaultPriority } from '../core/schedule.ts';
import type { NewTask } from '../core/task.ts';
import { uploadIdOf } from '../core/upload.ts';
import { asJsonb } from '../db/columns.ts';
import { inArray, sql } from '../db/drizzle.ts';
import { runs, tasks, uploads } from '../db/schema.ts';
import type { Door, Moved } from './door.ts';
import { countNew, newStages, writeEvents } from './move-steps.ts';
import { newRun } from './new-run.ts';
import { movedTaskColumns } from './rows.ts';

/** Writes a task with its run, its stages and its hold on the uploads that it uses, in one statement. */
export async function submitTask(
  door: Door,
  task: NewTask & { readonly id: string },
): Promise<Moved> {
  const { orm } = door;
  const { queueTimeoutMs = null, runTimeoutMs = null, tenant = '', keepMs, ...asked } = task;
  const priority = task.priority ?? defaultPriority;
  const runId = randomUUID();
  const told = orm.$with('told').as(
    orm
      .insert(tasks)
      .values({
        ...asked,
        delivery: keepMs === undefined ? task.delivery : { ...task.delivery, keepMs },
        priority,
        tenant,
        queueTimeoutMs,
        runTimeoutMs,
        runId,
        events: 1,
      })
      .returning(movedTaskColumns),
  );
  const planned = { ...asked, priority, tenant, queueTimeoutMs, runTimeoutMs };
  const moved = orm.$with('moved').as(
    orm
      .insert(runs)
      .values(newRun(runId, planned, sql`now()`))
      .returning(),
  );
  const files = task.sources.flatMap(({ url }) => uploadIdOf(url) ?? []);
  const held = sql`insert into task_uploads (task_id, upload_id)
    select told.id, uploads.id from told, uploads where ${inArray(uploads.id, files)}`;
  const steps = {
    ...newStages,
    ...countNew,
    ...writeEvents('submitted', door.gateway, asJsonb({})),
    ...(files.length > 0 ? { held } : {}),
  };
  const rows = await orm
    .with(told, moved, ...door.parts(steps))
    .select({ run: moved._.selectedFields, task: told._.selectedFields })
    .from(moved)
    .innerJoin(told, sql`told.run_id = moved.id`);
  const [submitted] = rows as unknown as readonly Moved[];
  if (!submitted) throw new Error('The statement wrote no task');
  door.told('submitted', [submitted]);
  return submitted;
}
