import { GatewayError, taskNotFound } from '../../../core/errors.ts';
import { parseUuid } from '../../../core/uuid.ts';
import type { TaskService, TaskView } from '../../../tasks/task-service.ts';
import type { TaskOwner } from '../../../tasks/task-store.ts';
import { ownerIn } from '../../auth.ts';
import { dialect, idStartOf } from './parse.ts';
import { resultPath } from './present.ts';
import { isGone } from './result-life.ts';

export const anybody: TaskOwner = { dialect, tenant: null };

export const ownerOf = ownerIn(dialect);

/**
 * The task, as long as it is under way or its result is there; of one that failed, it stays.
 *
 * @throws GatewayError `task_not_found`.
 */
export async function findTask(
  tasks: Pick<TaskService, 'find'>,
  text: string,
  owner: TaskOwner,
): Promise<TaskView> {
  const id = parseUuid(text);
  const task = id && (await tasks.find(id, owner));
  if (!task || isGone(task, new Date())) throw taskNotFound();
  return task;
}

/**
 * The task whose result goes by the path, decoded. Nothing is stored by it: the start of an id is in it,
 * and the whole of it follows from the task.
 *
 * @throws GatewayError `object_not_found`.
 */
export async function findByResult(
  tasks: Pick<TaskService, 'findByIdStart'>,
  path: string,
  owner: TaskOwner,
): Promise<TaskView> {
  const idStart = idStartOf(path);
  const candidates = idStart ? await tasks.findByIdStart(idStart, owner) : [];
  const task = candidates.find((each) => resultPath(each) === path);
  if (!task || isGone(task, new Date())) throw noSuchResult();
  return task;
}

export function noSuchResult(): GatewayError {
  return new GatewayError('object_not_found', 'There is no such result, or it is kept no longer');
}
