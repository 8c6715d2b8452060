import { type OpenAPIHono, z } from '@hono/zod-openapi';
import { accountOf } from '../../../core/caller.ts';
import { GatewayError, taskNotFound } from '../../../core/errors.ts';
import { hasEnded } from '../../../core/task.ts';
import { parseUuid } from '../../../core/uuid.ts';
import type { TaskView } from '../../../tasks/task-service.ts';
import type { TaskOwner } from '../../../tasks/task-store.ts';
import { type Caller, ownerIn } from '../../auth.ts';
import type { DialectParts } from '../../dialect.ts';
import { createRoutes, defineRoute, json } from '../../openapi.ts';
import { whileThere } from '../../request-body.ts';
import { dialect, parseTaskRequest } from './parse.ts';
import { presentAccepted, presentTask } from './present.ts';
import * as schema from './schema.ts';
import type { TaskManagerSettings } from './settings.ts';
import { listTaskNames } from './task-names.ts';

export interface TaskParts
  extends Pick<
    DialectParts,
    'tasks' | 'results' | 'registry' | 'linkBase' | 'version' | 'stopping'
  > {
  readonly settings: TaskManagerSettings;
}

/** Tasks, and whether all is well. */
export function taskRoutes(parts: TaskParts): OpenAPIHono {
  const { tasks, registry, settings, linkBase, version } = parts;
  const app = createRoutes();

  app.openapi(submitRoute, async (context) => {
    const body = context.req.valid('json');
    const { caller } = context.var;
    const request = parseTaskRequest(body, settings, registry);
    const accepted = await tasks.submit({ ...request, ...accountOf(caller) });
    if (!body.sync) return context.json(presentAccepted(accepted), 202);
    const { raw } = context.req;
    const task = await whileThere(raw, untilEnded(parts, accepted, ownerOf(caller), raw.signal));
    // A gateway that stops waits for connections to be closed.
    if (parts.stopping.aborted) context.header('Connection', 'close');
    return context.json(presentTask(task, linkBase(context)), hasEnded(task.state) ? 200 : 202);
  });

  app.openapi(statusRoute, async (context) => {
    const task = await findTask(parts, context.req.valid('param').task_id, context.var.caller);
    return context.json(presentTask(task, linkBase(context)), 200);
  });

  app.openapi(cleanUpRoute, async (context) => {
    const { caller } = context.var;
    const task = await findTask(parts, context.req.valid('param').task_id, caller);
    await cleanUp(parts, task, ownerOf(caller));
    const message = `Task ${task.id} cleaned up`;
    return context.json({ status: 'success' as const, message }, 200);
  });

  app.openapi(taskNamesRoute, async (context) => {
    return context.json({ task_names: await listTaskNames(parts) }, 200);
  });

  app.openapi(healthRoute, (context) =>
    context.json(
      { status: 'healthy' as const, service: 'task-manager-api' as const, version },
      200,
    ),
  );

  return app;
}

const ownerOf = ownerIn(dialect);

/** @throws GatewayError `task_not_found`, also for a task that was cleaned up. */
async function findTask(
  { tasks }: Pick<TaskParts, 'tasks'>,
  text: string,
  caller: Caller,
): Promise<TaskView> {
  const id = parseUuid(text);
  const task = id && (await tasks.find(id, ownerOf(caller)));
  if (!task || task.collectedAt !== null) {
    throw taskNotFound();
  }
  return task;
}

/** The task at its end; as it is by then, where that is longer off than a request is held. */
async function untilEnded(
  { tasks, settings, stopping }: TaskParts,
  accepted: TaskView,
  owner: TaskOwner,
  signal: AbortSignal,
): Promise<TaskView> {
  const limit = AbortSignal.timeout(settings.syncTimeoutMs);
  try {
    return await tasks.ended(accepted.id, owner, AbortSignal.any([signal, limit, stopping]));
  } catch {
    signal.throwIfAborted();
    // It is taken on, and its client gets to know under which id, whatever keeps us from its end.
    return await tasks.find(accepted.id, owner).catch(() => accepted);
  }
}

/** A task that goes on is only revoked: its client may still look how it ended. */
async function cleanUp(
  { tasks, results }: TaskParts,
  { id, state }: TaskView,
  owner: TaskOwner,
): Promise<void> {
  if (!hasEnded(state)) {
    try {
      return await tasks.cancel(id, owner);
    } catch (error) {
      const hasEndedMeanwhile =
        error instanceof GatewayError && error.code === 'task_already_ended';
      if (!hasEndedMeanwhile) throw error;
    }
  }
  await results.dismiss(id, owner);
}

const taskIdParam = z.object({
  task_id: z.string().openapi({ example: '550e8400-e29b-41d4-a716-446655440000' }),
});

const closed = {
  401: json(schema.errorBody, 'A key is needed.'),
  403: json(schema.errorBody, 'The key lacks the scope.'),
};
const unknown = { 404: json(schema.errorBody, 'There is no such task.') };
const away = { 503: json(schema.errorBody, 'The gateway cannot do it at present.') };

const submitRoute = defineRoute({
  method: 'post',
  path: '/api/v1/tasks',
  operationId: 'createManagedTask',
  tag: 'Task manager',
  policy: { scope: 'tasks:write', adds: 'task' },
  summary: 'Submit a task',
  request: { body: { ...json(schema.submitTask, 'What to do, with what.'), required: true } },
  responses: {
    200: json(schema.managedTask, 'With `sync`: the task has ended; `state` tells how.'),
    202: json(
      z.union([schema.managedTask, schema.taskAccepted]),
      'The task is taken on. With `sync`: it has not ended in the time that a request is held, and goes on.',
    ),
    400: json(schema.errorBody, 'There is no such task name, or parameters are missing or wrong.'),
    ...closed,
    413: json(schema.errorBody, 'The body is too large.'),
    ...away,
  },
});

const statusRoute = defineRoute({
  method: 'get',
  path: '/api/v1/tasks/{task_id}',
  operationId: 'getManagedTask',
  tag: 'Task manager',
  policy: { scope: 'tasks:read' },
  summary: 'State, progress and result of a task',
  request: { params: taskIdParam },
  responses: { 200: json(schema.managedTask, 'The task.'), ...closed, ...unknown, ...away },
});

const cleanUpRoute = defineRoute({
  method: 'delete',
  path: '/api/v1/tasks/{task_id}',
  operationId: 'deleteManagedTask',
  tag: 'Task manager',
  policy: { scope: 'tasks:write' },
  summary: 'Remove what is stored of a task that has ended, or revoke one that has not',
  request: { params: taskIdParam },
  responses: {
    200: json(schema.taskCleanedUp, 'A task that had ended is not found any more.'),
    ...closed,
    ...unknown,
    ...away,
  },
});

const taskNamesRoute = defineRoute({
  method: 'get',
  path: '/api/v1/task-names',
  operationId: 'listTaskNames',
  tag: 'Task manager',
  policy: { scope: 'tasks:read' },
  summary: 'The names of tasks, and what they stand for',
  responses: { 200: json(schema.taskNameList, 'In alphabetical order.'), ...closed, ...away },
});

const healthRoute = defineRoute({
  method: 'get',
  path: '/health',
  operationId: 'getTaskManagerHealth',
  tag: 'Task manager',
  policy: { isOpen: true, anyHost: true },
  summary: 'Whether the gateway runs',
  responses: { 200: json(schema.health, 'It runs.') },
});
