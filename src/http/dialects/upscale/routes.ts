import type { HttpBindings } from '@hono/node-server';
import { type OpenAPIHono, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { accountOf, may } from '../../../core/caller.ts';
import { GatewayError, taskNotFound } from '../../../core/errors.ts';
import { hasEnded } from '../../../core/task.ts';
import type { TaskView } from '../../../tasks/task-service.ts';
import { type Caller, ownerIn } from '../../auth.ts';
import type { DialectParts } from '../../dialect.ts';
import { receiveForm, submitWithFiles } from '../../form-tasks.ts';
import { isForm } from '../../multipart.ts';
import { createRoutes, defineRoute, handleFiles, json } from '../../openapi.ts';
import { whileThere } from '../../request-body.ts';
import { sendFile } from '../../stored-file.ts';
import { errorBody } from './errors.ts';
import { Handovers } from './handovers.ts';
import { jobIdOf, taskIdOf } from './job-id.ts';
import { listModels } from './models.ts';
import { dialect, parseUpscale } from './parse.ts';
import { attachment, presentModel, presentStatus, resultName } from './present.ts';
import * as schema from './schema.ts';

export type UpscaleParts = Pick<
  DialectParts,
  'tasks' | 'results' | 'uploads' | 'registry' | 'workflows' | 'version' | 'tempo'
>;

/** The API of the Image Upscale Service. */
export function upscaleRoutes(parts: UpscaleParts): OpenAPIHono {
  const { tasks, workflows, version, tempo } = parts;
  const app = createRoutes();
  const handovers = new Handovers(tempo.handoverQuietMs);

  handleFiles(app, upscaleRoute, async (context) => {
    const { raw } = context.req;
    if (!isForm(raw)) {
      const message = 'The request must be a form (multipart/form-data) with the picture as image';
      throw new GatewayError('invalid_request', message);
    }
    const job_id = await whileThere(raw, submitForm(parts, raw, context.var.caller));
    return context.json({ success: true, job_id, status_url: `/api/v1/status/${job_id}` }, 202);
  });

  app.openapi(statusRoute, async (context) => {
    const id = taskId(context.req.valid('param').job_id);
    return context.json(presentStatus(await tasks.find(id, ownerOf(context.var.caller))), 200);
  });

  app.openapi(downloadRoute, async (context) => {
    const { incoming, outgoing } = context.env as Partial<HttpBindings>;
    const id = taskId(context.req.valid('param').job_id);
    const owner = ownerOf(context.var.caller);
    if (incoming) await handovers.settle(id, incoming.socket);
    const task = await tasks.find(id, owner);
    if (task.state !== 'completed') {
      return context.json(errorBody('job_not_completed', whyNoResult(task)), 409);
    }
    const sent = task.collectedAt ? null : await sendResult(parts, context, task);
    if (!sent) {
      const message = 'The result is deleted: it was downloaded, or its time was over';
      return context.json(errorBody('result_deleted', message), 410);
    }
    const isWhole = sent.status === 200 && context.req.method === 'GET';
    const mayCollect = may(context.var.caller, 'tasks:write');
    if (isWhole && mayCollect && outgoing) {
      handovers.watch(id, {
        outgoing,
        bytes: Number(sent.headers.get('content-length')),
        done: () => parts.results.collected(id, owner, 0),
      });
    }
    return sent;
  });

  app.openapi(cancelRoute, async (context) => {
    const id = taskId(context.req.valid('param').job_id);
    await tasks.cancel(id, ownerOf(context.var.caller));
    const message = 'The job is canceled';
    const body = {
      success: true as const,
      message,
      job_id: jobIdOf(id),
      status: 'canceled' as const,
    };
    return context.json(body, 200);
  });

  app.openapi(modelsRoute, async (context) => {
    const { scale } = context.req.valid('query');
    const known = (await workflows.list()).filter(mayRun).flatMap(({ workflow }) => workflow ?? []);
    const models = listModels(known).filter(
      ({ scales }) => scale === undefined || scales.some((each) => each === Number(scale)),
    );
    return context.json({ version, models: models.map(presentModel) }, 200);
  });

  app.openapi(healthRoute, (context) => {
    const time = Math.floor(Date.now() / 1_000);
    return context.json({ status: 'ok' as const, version, time }, 200);
  });

  return app;
}

async function submitForm(
  { tasks, uploads, registry, tempo }: UpscaleParts,
  raw: Request,
  caller: Caller,
): Promise<string> {
  await using form = await receiveForm(raw, { uploads, tempo });
  const request = { ...parseUpscale(form, registry.all()), ...accountOf(caller) };
  await submitWithFiles({ tasks, uploads }, request, form, raw.signal);
  return jobIdOf(request.id);
}

/** `null` when there is nothing any more. */
async function sendResult(
  { results }: UpscaleParts,
  context: Context,
  task: TaskView,
): Promise<Response | null> {
  const { signal } = context.req.raw;
  const stat = await results.stat(task, signal);
  if (!stat) return null;
  return await sendFile(context, {
    stat,
    open: (range) => results.open(task, range, signal),
    headers: {
      'content-type': 'application/octet-stream',
      'content-disposition': attachment(resultName(task)),
      'cache-control': 'no-store',
      ...stayingOpen(context.env),
    },
  });
}

/** What becomes of the connection tells whether the client had all of it: we are not to close it first. */
function stayingOpen({ outgoing }: Partial<HttpBindings>): Record<string, string> {
  return outgoing?.shouldKeepAlive === false ? { connection: 'keep-alive' } : {};
}

function whyNoResult({ state }: TaskView): string {
  if (!hasEnded(state)) return 'The job has not completed yet';
  const what = state === 'failed' ? 'has failed' : 'was canceled';
  return `The job ${what}: there is nothing to download`;
}

/** Unless every backend has said that it cannot. */
function mayRun({ fitness }: Awaited<ReturnType<DialectParts['workflows']['list']>>[number]) {
  return fitness === null || fitness.unable.size === 0 || fitness.unable.size < fitness.total;
}

const ownerOf = ownerIn(dialect);

function taskId(text: string): string {
  const id = taskIdOf(text);
  if (!id) throw taskNotFound();
  return id;
}

const closed = {
  401: json(schema.error, 'A key is needed.'),
  403: json(schema.error, 'The key lacks the scope.'),
};
const invalid = { 400: json(schema.error, 'The request is wrong; the sentence names the field.') };
const unknown = { 404: json(schema.error, 'There is no such job.') };
const away = {
  503: json(schema.error, 'The gateway cannot do it at present; another try may succeed.'),
};

const file = { 'application/octet-stream': { schema: z.string().openapi({ format: 'binary' }) } };

const upscaleRoute = defineRoute({
  method: 'post',
  path: '/api/v1/upscale',
  operationId: 'createUpscaleJob',
  tag: 'Image Upscale Service',
  policy: { scope: 'tasks:write', file: 'form', adds: 'task' },
  summary: 'Submit a picture to be made larger',
  request: {
    body: { required: true, content: { 'multipart/form-data': { schema: schema.upscaleForm } } },
  },
  responses: {
    202: json(schema.submitted, 'The job is taken on.'),
    ...invalid,
    ...closed,
    413: json(schema.error, 'The picture is larger than is allowed.'),
    ...away,
    507: json(schema.error, 'There is no room for the picture at the moment.'),
  },
});

const statusRoute = defineRoute({
  method: 'get',
  path: '/api/v1/status/{job_id}',
  operationId: 'getUpscaleJob',
  tag: 'Image Upscale Service',
  policy: { scope: 'tasks:read' },
  summary: 'State, progress and result of a job',
  request: { params: schema.jobIdParam },
  responses: { 200: json(schema.status, 'The job.'), ...unknown, ...closed, ...away },
});

const downloadRoute = defineRoute({
  method: 'get',
  path: '/api/v1/download/{job_id}',
  operationId: 'downloadUpscaleResult',
  tag: 'Image Upscale Service',
  policy: { scope: 'tasks:read' },
  summary: 'The result of a job; it is deleted after a complete download',
  description:
    'A download that broke off may be repeated, and parts of the result may be fetched with `Range`; only a client that has had the whole in one answer has collected it.',
  request: { params: schema.jobIdParam },
  responses: {
    200: { description: 'The picture.', content: file },
    206: { description: 'The part of it that `Range` asks for.', content: file },
    304: { description: 'The client has it already, as `If-None-Match` says.' },
    ...unknown,
    ...closed,
    409: json(schema.error, 'The job has not completed, or never will.'),
    410: json(schema.error, 'The result is deleted.'),
    416: { description: 'It is not so long.' },
    ...away,
  },
});

const cancelRoute = defineRoute({
  method: 'post',
  path: '/api/v1/cancel/{job_id}',
  operationId: 'cancelUpscaleJob',
  tag: 'Image Upscale Service',
  policy: { scope: 'tasks:write' },
  summary: 'Cancel a job that waits or runs',
  request: { params: schema.jobIdParam },
  responses: {
    200: json(schema.canceled, 'The job is canceled, now or before.'),
    ...unknown,
    ...closed,
    409: json(schema.error, 'The job has completed or failed already.'),
    ...away,
  },
});

const modelsRoute = defineRoute({
  method: 'get',
  path: '/api/v1/models',
  operationId: 'listUpscaleModels',
  tag: 'Image Upscale Service',
  policy: { scope: 'tasks:read' },
  summary: 'The models that jobs may name',
  request: { query: schema.modelsQuery },
  responses: { 200: json(schema.models, 'The models.'), ...invalid, ...closed },
});

const healthRoute = defineRoute({
  method: 'get',
  path: '/api/v1/health',
  operationId: 'getUpscaleHealth',
  tag: 'Image Upscale Service',
  policy: { isOpen: true, anyHost: true },
  summary: 'Whether the service runs',
  responses: { 200: json(schema.health, 'It runs.') },
});
