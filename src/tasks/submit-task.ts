import { defaultPriority } from '../core/schedule.ts';
import type { NewTask } from '../core/task.ts';
import { uploadIdOf } from '../core/upload.ts';
import { asJsonb } from '../db/columns.ts';
import { sql } from '../db/drizzle.ts';
import { runs, tasks } from '../db/schema.ts';
import { textOf, toJsonRow } from '../db/statement.ts';
import type { Door, Moved } from './door.ts';
import { countNew, newStages, tallyNew, writeEvents } from './move-steps.ts';
import { insertRuns, newRun } from './new-run.ts';
import { hasRoom, type Room } from './quota-store.ts';
import { movedTaskText, runText } from './rows.ts';

const asked = textOf(
  tasks,
  [
    ...([
      'id',
      'runId',
      'events',
      'dialect',
      'kind',
      'sources',
      'workflow',
      'workflowHash',
    ] as const),
    ...(['arguments', 'size', 'delivery', 'params', 'priority', 'tenant'] as const),
    ...(['queueTimeoutMs', 'runTimeoutMs'] as const),
  ],
  'asked',
);

/**
 * Writes a task with its run, its stages and its hold on the uploads that it uses, in one statement; `null` where there
 * is no room for it.
 */
export async function submitTask(
  door: Door,
  request: NewTask & { readonly id: string },
  room: Room | null,
): Promise<Moved | null> {
  const { keepMs, ...wishes } = request;
  const task = {
    ...wishes,
    priority: request.priority ?? defaultPriority,
    tenant: request.tenant ?? '',
    queueTimeoutMs: request.queueTimeoutMs ?? null,
    runTimeoutMs: request.runTimeoutMs ?? null,
    delivery: keepMs === undefined ? request.delivery : { ...request.delivery, keepMs },
  };
  const run = newRun(task);
  const row = toJsonRow(tasks, { ...task, runId: run.id, events: 1 });
  const files = request.sources.flatMap(({ url }) => uploadIdOf(url) ?? []);
  const held = sql`
    insert into task_uploads (task_id, upload_id)
    select told.id, uploads.id from told, uploads
     where uploads.id = any(${sql.param(files, runs.taskIds)}::uuid[])`;
  const written = await door.run(door.orm, {
    told: sql`
      insert into tasks (${asked.columns})
      select ${asked.columns} from jsonb_to_record(${asJsonb(row)}) as asked (${asked.typed})
       where ${room === null ? sql`true` : hasRoom(task.tenant, room)}
      returning ${movedTaskText.qualified}`,
    moved: insertRuns([run], runText.qualified, sql`exists (select from told)`),
    ...newStages,
    ...countNew,
    ...tallyNew,
    ...writeEvents('submitted', door.gateway, asJsonb({})),
    ...(files.length > 0 ? { held } : {}),
  });
  door.announce('submitted', written);
  return written[0] ?? null;
}
