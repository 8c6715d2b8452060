import { type OpenAPIHono, z } from '@hono/zod-openapi';
import { GatewayError } from '../../../core/errors.ts';
import { type PictureKind, pictureKinds } from '../../../core/media.ts';
import type { TaskView } from '../../../tasks/task-service.ts';
import { actorOf, type Caller, callerIfAny, tenantSeenBy, unauthorized } from '../../auth.ts';
import type { DialectParts } from '../../dialect.ts';
import { createRoutes, defineRoute, json } from '../../openapi.ts';
import { whileThere } from '../../request-body.ts';
import { disposition, sendFile } from '../../stored-file.ts';
import { closed, invalid, unknown } from './errors.ts';
import { anybody, findByResult, findTask, noSuchResult, ownerOf } from './find.ts';
import { parseResultPath } from './parse.ts';
import { presentCacheStatus, secretOf } from './present.ts';
import { graceMs, noteSign } from './result-life.ts';
import * as schema from './schema.ts';

/** Results, and how long they are kept. */
export function resultRoutes({
  tasks,
  results,
}: Pick<DialectParts, 'tasks' | 'results'>): OpenAPIHono {
  const app = createRoutes();

  app.openapi(resultRoute, async (context) => {
    const { kind, task_type, file } = context.req.valid('param');
    const { id: secret } = context.req.valid('query');
    const caller = callerIfAny(context);
    if (!caller && secret === undefined) throw unauthorized(context);
    const path = `/static_results/${kind}/${task_type}/processed/${file}`;
    const task = await findByResult(tasks, path, anybody);
    if (secret !== secretOf(task) && !isOwn(task, secret, caller)) throw noSuchResult();
    const { raw } = context.req;
    const stat = await whileThere(raw, results.stat(task, raw.signal));
    if (!stat) throw noSuchResult();
    await noteSign(results, task, anybody);
    const sent = await whileThere(
      raw,
      sendFile(context, {
        stat,
        open: (range) => results.open(task, range, raw.signal),
        headers: { 'content-disposition': disposition(file, stat.contentType) },
      }),
    );
    if (!sent) throw noSuchResult();
    return sent;
  });

  app.openapi(confirmRoute, async (context) => {
    const owner = ownerOf(context.var.caller);
    const path = parseResultPath(context.req.valid('json').result_path);
    const task = await findByResult(tasks, path ?? '', owner);
    const keptMs = graceMs[task.kind === 'video' ? 'video' : 'image'];
    await results.collected(task.id, owner, keptMs);
    const message = `Download confirmed. The result is kept for ${keptMs / 60_000} minutes more.`;
    return context.json({ message }, 200);
  });

  app.openapi(heartbeatRoute, async (context) => {
    const owner = ownerOf(context.var.caller);
    const { task_id } = context.req.valid('json');
    const task = await findTask(tasks, task_id, owner).catch(nullIfUnknown);
    if (!task) return context.json({ status: 'task_not_found_ok' as const }, 200);
    await noteSign(results, task, owner);
    return context.json({ status: 'heartbeat_received' as const }, 200);
  });

  app.openapi(cacheStatusRoute, async (context) => {
    const usage = await results.usage(ownerOf(context.var.caller));
    return context.json(presentCacheStatus(usage), 200);
  });

  app.openapi(clearCacheRoute, async (context) => {
    const kinds = kindsToClear(context.req.valid('query'));
    const owner = ownerOf(context.var.caller);
    const counts = await results.discardCollected(actorOf(context), owner, kinds);
    return context.json(
      {
        cleared_count: counts.discarded,
        skipped_in_progress_count: counts.inProgress,
        skipped_awaiting_download_count: counts.uncollected,
      },
      200,
    );
  });

  return app;
}

/** Whether the caller sees the task, and names no other one's result by the query. */
function isOwn(
  { id, tenant }: TaskView,
  secret: string | undefined,
  caller: Caller | null,
): boolean {
  if (!caller || (secret !== undefined && secret !== id)) return false;
  const seen = tenantSeenBy(caller);
  return seen === null || seen === tenant;
}

function nullIfUnknown(error: unknown): null {
  if (error instanceof GatewayError && error.code === 'task_not_found') return null;
  throw error;
}

/** Whoever names neither kind means both. */
function kindsToClear(wanted: z.infer<typeof schema.clearCache>): PictureKind[] {
  const isWanted = { image: wanted.clear_images, video: wanted.clear_videos };
  if (isWanted.image === undefined && isWanted.video === undefined) return [...pictureKinds];
  return pictureKinds.filter((kind) => isWanted[kind]);
}

const file = { schema: { type: 'string', format: 'binary' } } as const;

const resultRoute = defineRoute({
  method: 'get',
  path: '/static_results/{kind}/{task_type}/processed/{file}',
  operationId: 'getProcessedFile',
  tag: 'Uformer hub',
  policy: { scope: 'tasks:read', takesSecret: true },
  summary: 'A result, whole or in part',
  request: {
    params: z.object({
      kind: z.string().openapi({ example: 'images' }),
      task_type: z.string().openapi({ example: 'denoise' }),
      file: z.string().openapi({ example: '1678886400_a1b2c3d4_enhanced_image.png' }),
    }),
    query: z.object({
      id: z.string().optional().openapi({
        description:
          'Where keys are asked for: the secret that the path was given out with, in place of a key. With a key of the task, the id of the task does as well.',
      }),
    }),
  },
  responses: {
    200: { description: 'The file.', content: { 'image/*': file, 'video/*': file } },
    206: {
      description: 'The part that was asked for.',
      content: { 'image/*': file, 'video/*': file },
    },
    304: { description: 'It is as it was.' },
    ...closed,
    ...unknown,
    416: { description: 'It has no such part.' },
  },
});

const confirmRoute = defineRoute({
  method: 'post',
  path: '/api/confirm_download',
  operationId: 'confirmDownload',
  tag: 'Uformer hub',
  policy: { scope: 'tasks:write' },
  summary: 'Tell that a result has been downloaded',
  request: {
    body: { ...json(schema.confirmDownload, 'The path as it was given out.'), required: true },
  },
  responses: {
    200: json(schema.message, 'It may go after a while.'),
    ...invalid,
    ...closed,
    ...unknown,
  },
});

const heartbeatRoute = defineRoute({
  method: 'post',
  path: '/api/task_heartbeat',
  operationId: 'sendHeartbeat',
  tag: 'Uformer hub',
  policy: { scope: 'tasks:read' },
  summary: 'Tell that a result is still looked at',
  request: { body: { ...json(schema.heartbeat, 'Whose result.'), required: true } },
  responses: { 200: json(schema.heartbeatAnswer, 'Heard.'), ...invalid, ...closed },
});

const cacheStatusRoute = defineRoute({
  method: 'get',
  path: '/api/cache_status',
  operationId: 'getCacheStatus',
  tag: 'Uformer hub',
  policy: { scope: 'tasks:read' },
  summary: 'What results take',
  responses: { 200: json(schema.cacheStatus, 'In megabytes.'), ...closed },
});

const clearCacheRoute = defineRoute({
  method: 'post',
  path: '/api/clear_cache',
  operationId: 'clearCache',
  tag: 'Uformer hub',
  policy: { scope: 'tasks:write' },
  summary: 'Remove results that have been downloaded',
  request: { query: schema.clearCache },
  responses: {
    200: json(schema.cacheCleared, 'What was removed, and what stays.'),
    ...invalid,
    ...closed,
  },
});
