import { type OpenAPIHono, z } from '@hono/zod-openapi';
import type { BackendView } from '../../../core/backend.ts';
import { accountOf } from '../../../core/caller.ts';
import { taskNotFound } from '../../../core/errors.ts';
import { mediaKindOfType } from '../../../core/media.ts';
import type { Pause } from '../../../core/pause.ts';
import type { Readiness } from '../../../core/readiness.ts';
import type { PauseService } from '../../../tasks/pause-service.ts';
import type { TaskService, TaskView } from '../../../tasks/task-service.ts';
import type { TaskOwner } from '../../../tasks/task-store.ts';
import { type Caller, tenantSeenBy } from '../../auth.ts';
import type { KindOf } from '../../dialect.ts';
import { errorSchema, presentError } from '../../errors.ts';
import {
  type FormParts,
  type FormUploads,
  receiveForm,
  submitWithFiles,
} from '../../form-tasks.ts';
import { type IgnoredField, namesWritten } from '../../ignored-fields.ts';
import type { LinkBase } from '../../link-base.ts';
import { isForm } from '../../multipart.ts';
import { createRoutes, defineRoute, handleFiles, json, jsonBody } from '../../openapi.ts';
import { presentPause } from '../../pauses.ts';
import { poolSeenBy } from '../../pool-view.ts';
import { whileThere } from '../../request-body.ts';
import { mainPart, requestOfForm } from './form.ts';
import {
  dialect,
  ignoredIn,
  leavesKindOpen,
  parseTaskId,
  parseTaskRequest,
  type WorkflowAliases,
} from './parse.ts';
import {
  presentBackend,
  presentListed,
  presentSubmitted,
  presentTask,
  presentWorkflow,
} from './present.ts';
import * as schema from './schema.ts';

export interface TmlsrParts extends FormParts {
  readonly tasks: TaskService;
  readonly uploads: FormUploads;
  readonly registry: WorkflowAliases;
  readonly pool: { list(): Promise<BackendView[]> };
  readonly pauses: Pick<PauseService, 'list'>;
  readonly linkBase: LinkBase;
  readonly kindOf: KindOf;
  readonly refusesUnknownFields: boolean;
  readonly readiness: () => Promise<Readiness>;
  readonly version: string;
}

/** `/monitor/stats` lists this many tasks. */
const newestTasks = 50;

/** TMLSR's own API, versions 1 and 2 as a union. */
export function tmlsrRoutes(parts: TmlsrParts): OpenAPIHono {
  const { tasks, registry, pauses, linkBase, kindOf, readiness, version } = parts;
  const app = createRoutes();

  handleFiles(app, createTaskRoute, async (context, next) => {
    const { raw } = context.req;
    if (!isForm(raw)) return void (await next());
    const { task, ignored } = await whileThere(raw, submitForm(parts, raw, context.var.caller));
    return context.json(presentSubmitted(task, ignored), 200);
  });
  app.openapi({ ...createTaskInJsonRoute, hide: true }, async (context) => {
    const body = context.req.valid('json');
    const names = namesWritten(await context.req.json().catch(() => ({})));
    const ignored = ignoredIn(body, names, parts.refusesUnknownFields);
    const account = accountOf(context.var.caller);
    const { signal } = context.req.raw;
    const fileKind =
      body.url != null && leavesKindOpen(body)
        ? await kindOf(body.url, account.tenant ?? '', signal)
        : null;
    const task = await tasks.submit({ ...parseTaskRequest(body, registry, fileKind), ...account });
    return context.json(presentSubmitted(task, ignored), 200);
  });

  app.openapi(getTaskRoute, async (context) => {
    const task = await tasks.find(
      taskId(context.req.valid('param').task_id),
      ownerOf(context.var.caller),
    );
    const seen = { now: new Date(), base: linkBase(context) };
    return context.json(presentTask(task, seen, await tasks.placeOf(task)), 200);
  });

  app.openapi(cancelTaskRoute, async (context) => {
    await tasks.cancel(taskId(context.req.valid('param').task_id), ownerOf(context.var.caller));
    return context.json({ status: 'canceled' as const }, 200);
  });

  app.openapi(statsRoute, async (context) => {
    const { caller } = context.var;
    const tenant = tenantSeenBy(caller);
    const [counts, newest, backends, each, paused] = await Promise.all([
      tasks.countByState(tenant),
      tasks.newest(newestTasks, ownerOf(caller)),
      poolSeenBy(caller, parts),
      tasks.workflows(tenant),
      pauses.list(),
    ]);
    const seen = { now: new Date(), base: linkBase(context) };
    return context.json(
      {
        system: {
          max_workers: backends.length,
          active_workers: backends.filter(({ report }) => report?.state === 'busy').length,
          queue_size: counts.pending,
        },
        pool_status: backends.map(presentBackend),
        stats: counts,
        workflows: each.map(presentWorkflow),
        pauses: paused.filter((each) => isShownTo(each, tenant)).map(presentPause),
        tasks: newest.map((task) => presentListed(task, seen)),
      },
      200,
    );
  });

  app.openapi(healthRoute, (context) =>
    context.json(
      { status: 'ok' as const, service: 'tmlsr', version, time: Math.floor(Date.now() / 1_000) },
      200,
    ),
  );
  app.openapi(readyRoute, async (context) => {
    const { refusal, checks } = await readiness();
    if (refusal === null) return context.json({ status: 'ready' as const, checks }, 200);
    const { body } = presentError(refusal);
    context.header('Retry-After', '2');
    return context.json({ ...(body as z.infer<typeof errorSchema>), checks }, 503);
  });
  app.openapi(indexRoute, (context) =>
    context.json(
      { service: 'tmlsr', version, stats: '/monitor/stats', api: '/openapi.json', docs: '/docs' },
      200,
    ),
  );

  return app;
}

/** A task whose files come with it. They are kept before it is taken on, and gone if it is not. */
async function submitForm(
  { tasks, uploads, registry, refusesUnknownFields, tempo }: TmlsrParts,
  raw: Request,
  caller: Caller,
): Promise<{ task: TaskView; ignored: IgnoredField[] }> {
  await using form = await receiveForm(raw, { uploads, tempo });
  const body = requestOfForm(form);
  const ignored = ignoredIn(body, form.fields.keys(), refusesUnknownFields);
  const account = accountOf(caller);
  const fileKind = mediaKindOfType(form.files.get(mainPart)?.file.contentType ?? '');
  const request = { ...parseTaskRequest(body, registry, fileKind), ...account };
  const task = await submitWithFiles({ tasks, uploads }, request, form, raw.signal);
  return { task, ignored };
}

/** Operators see the tasks of all dialects, and so may look at each and cancel it. */
function ownerOf(caller: Caller): TaskOwner {
  const tenant = tenantSeenBy(caller);
  return { dialect: tenant === null ? null : dialect, tenant };
}

/** Other tenants are nobody's business but operators', whose own is `null`. */
function isShownTo({ kind, name }: Pause, tenant: string | null): boolean {
  return kind !== 'tenant' || tenant === null || name === tenant;
}

function taskId(text: string): string {
  const id = parseTaskId(text);
  if (!id) throw taskNotFound();
  return id;
}

const taskIdParam = z.object({
  task_id: z.string().openapi({ example: 'f692edeb41cb4a3eaebd2db0044c0778' }),
});

const closed = {
  401: json(errorSchema, 'A key is needed.'),
  403: json(errorSchema, 'The key lacks the scope.'),
};
const invalid = { 400: json(errorSchema, 'The request is wrong; `field` says where.') };
const unknown = { 404: json(errorSchema, 'There is no such task.') };
const ended = { 409: json(errorSchema, 'The task has completed or failed already.') };

const creating = {
  method: 'post',
  path: '/tasks',
  operationId: 'createTask',
  tag: 'Tasks',
  summary: 'Submit a task',
  responses: { 200: json(schema.taskCreated, 'The task is taken on.'), ...invalid, ...closed },
} as const;

const submitting = { scope: 'tasks:write', adds: 'task' } as const;

const inJson = jsonBody(schema.createTask, 'The source and what to do with it.', {
  url: 'https://example.com/image.jpg',
  workflow: 'seedvr2_image_4096.json',
});

const createTaskInJsonRoute = defineRoute({
  ...creating,
  policy: submitting,
  request: { body: inJson },
});

const createTaskRoute = defineRoute({
  ...creating,
  policy: { ...submitting, file: 'form' },
  request: {
    body: {
      ...inJson,
      content: { ...inJson.content, 'multipart/form-data': { schema: schema.createTaskForm } },
    },
  },
});

const getTaskRoute = defineRoute({
  method: 'get',
  path: '/tasks/{task_id}',
  operationId: 'getTask',
  tag: 'Tasks',
  policy: { scope: 'tasks:read' },
  summary: 'State, progress and result of a task',
  request: { params: taskIdParam },
  responses: { 200: json(schema.task, 'The task.'), ...unknown, ...closed },
});

const cancelTaskRoute = defineRoute({
  method: 'delete',
  path: '/tasks/{task_id}',
  operationId: 'cancelTask',
  tag: 'Tasks',
  policy: { scope: 'tasks:write' },
  summary: 'Cancel a task that waits or runs',
  request: { params: taskIdParam },
  responses: {
    200: json(schema.taskCanceled, 'The task is canceled.'),
    ...unknown,
    ...ended,
    ...closed,
  },
});

const statsRoute = defineRoute({
  method: 'get',
  path: '/monitor/stats',
  operationId: 'getStats',
  tag: 'Monitoring',
  policy: { scope: 'tasks:read' },
  summary: 'The pool, the queue and the newest tasks',
  description:
    'Operators see all of it. Others see their own newest tasks and their counts: of those that wait or run, at most 10,000. Of each server they see its state and what it is.',
  responses: { 200: json(schema.stats, 'The state of the whole.'), ...closed },
});

const indexRoute = defineRoute({
  method: 'get',
  path: '/',
  operationId: 'getIndex',
  tag: 'Service',
  policy: { isOpen: true },
  summary: 'What this is, and where to go on',
  responses: { 200: json(schema.index, 'The way on.') },
});

const healthRoute = defineRoute({
  method: 'get',
  path: '/health',
  operationId: 'getHealth',
  tag: 'Service',
  policy: { isOpen: true, anyHost: true },
  summary: 'Whether the gateway runs',
  responses: { 200: json(schema.health, 'It runs.') },
});

const readyRoute = defineRoute({
  method: 'get',
  path: '/ready',
  operationId: 'getReadiness',
  tag: 'Service',
  policy: { isOpen: true, anyHost: true },
  summary: 'Whether the gateway takes requests on',
  description:
    'For load balancers. A gateway that cannot reach its database, or is asked to stop, is not ready. `checks` tells of the object store and the servers as well, which all gateways have in common: tasks wait for those, and they do not decide.',
  responses: {
    200: json(schema.ready, 'It does.'),
    503: json(schema.notReady, 'Send requests to another gateway.'),
  },
});
