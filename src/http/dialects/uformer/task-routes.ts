import { type OpenAPIHono, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { accountOf } from '../../../core/caller.ts';
import { GatewayError, taskNotFound } from '../../../core/errors.ts';
import type { PictureKind } from '../../../core/media.ts';
import type { TaskView } from '../../../tasks/task-service.ts';
import type { Caller } from '../../auth.ts';
import type { DialectParts } from '../../dialect.ts';
import {
  type FormParts,
  type ReceivedForm,
  receiveForm,
  submitWithFiles,
} from '../../form-tasks.ts';
import { isForm } from '../../multipart.ts';
import { createRoutes, defineRoute, handleFiles, json } from '../../openapi.ts';
import { whileThere } from '../../request-body.ts';
import { closed, full, invalid, tooLarge, unknown } from './errors.ts';
import { findTask, ownerOf } from './find.ts';
import { fileOf, parseForm } from './parse.ts';
import { presentStatus } from './present.ts';
import { noteSign } from './result-life.ts';
import * as schema from './schema.ts';

export type TaskRouteParts = Pick<
  DialectParts,
  'tasks' | 'results' | 'uploads' | 'registry' | 'preview' | 'isGuarded' | 'tempo'
>;

/** Submitting a task with its file, following it, and a look at a file without a task. */
export function taskRoutes(parts: TaskRouteParts): OpenAPIHono {
  const { tasks, results, isGuarded } = parts;
  const app = createRoutes();

  const submit = (kind: PictureKind, message: string) => async (context: Context) => {
    const { raw } = context.req;
    const { id } = await whileThere(raw, submitForm(parts, kind, raw, context.var.caller));
    return context.json({ task_id: id, message }, 202);
  };
  handleFiles(app, processImageRoute, submit('image', 'Image processing task started.'));
  handleFiles(app, processVideoRoute, submit('video', 'Video processing task started.'));

  const statusOf = async (kind: PictureKind, id: string, caller: Caller) => {
    const owner = ownerOf(caller);
    const task = await findTask(tasks, id, owner);
    if (task.kind !== kind) throw taskNotFound();
    await noteSign(results, task, owner);
    return presentStatus(task, isGuarded());
  };
  app.openapi(imageStatusRoute, async (context) => {
    const { task_id } = context.req.valid('param');
    return context.json(await statusOf('image', task_id, context.var.caller), 200);
  });
  app.openapi(videoStatusRoute, async (context) => {
    const { task_id } = context.req.valid('param');
    return context.json(await statusOf('video', task_id, context.var.caller), 200);
  });

  handleFiles(app, previewRoute, async (context) => {
    const { raw } = context.req;
    const { bytes, contentType } = await whileThere(raw, previewForm(parts, raw));
    return context.body(bytes, 200, { 'content-type': contentType, 'cache-control': 'no-store' });
  });

  return app;
}

/** A task whose file comes with it. It is kept before the task is taken on, and gone if it is not. */
async function submitForm(
  parts: TaskRouteParts,
  kind: PictureKind,
  raw: Request,
  caller: Caller,
): Promise<TaskView> {
  const { tasks, uploads, registry } = parts;
  await using form = await receive(raw, parts);
  const request = { ...parseForm(form, kind, registry.all()), ...accountOf(caller) };
  return await submitWithFiles({ tasks, uploads }, request, form, raw.signal);
}

async function previewForm(
  parts: TaskRouteParts,
  raw: Request,
): ReturnType<DialectParts['preview']> {
  await using form = await receive(raw, parts);
  return await parts.preview(fileOf(form, 'image').file.path, raw.signal);
}

async function receive(raw: Request, parts: FormParts): Promise<ReceivedForm> {
  if (isForm(raw)) return await receiveForm(raw, parts);
  throw new GatewayError('invalid_request', 'The request must be a form: multipart/form-data');
}

function form<T extends z.ZodType>(schema: T) {
  return { body: { required: true, content: { 'multipart/form-data': { schema } } } };
}

const taskIdParam = z.object({
  task_id: z.string().openapi({ example: 'a1b2c3d4-e5f6-4890-a1b2-c3d4e5f67890' }),
});

const processing = {
  method: 'post',
  policy: { scope: 'tasks:write', file: 'form', adds: 'task' },
  responses: {
    202: json(schema.started, 'The task is taken on.'),
    ...invalid,
    ...closed,
    ...tooLarge,
    ...full,
  },
} as const;

const processImageRoute = defineRoute({
  ...processing,
  path: '/api/process_image',
  operationId: 'processImage',
  tag: 'Uformer hub',
  summary: 'Denoise or deblur a picture',
  request: form(schema.processImage),
});

const processVideoRoute = defineRoute({
  ...processing,
  path: '/api/process_video',
  operationId: 'processVideo',
  tag: 'Uformer hub',
  summary: 'Denoise or deblur a clip',
  request: form(schema.processVideo),
});

const status = {
  method: 'get',
  policy: { scope: 'tasks:read' },
  request: { params: taskIdParam },
  responses: { 200: json(schema.status, 'The task.'), ...unknown, ...closed },
} as const;

const imageStatusRoute = defineRoute({
  ...status,
  path: '/api/image_status/{task_id}',
  operationId: 'getImageStatus',
  tag: 'Uformer hub',
  summary: 'How far a picture has come, and its result',
});

const videoStatusRoute = defineRoute({
  ...status,
  path: '/api/video_status/{task_id}',
  operationId: 'getVideoStatus',
  tag: 'Uformer hub',
  summary: 'How far a clip has come, and its result',
});

const previewRoute = defineRoute({
  method: 'post',
  path: '/api/generate_preview',
  operationId: 'generatePreview',
  tag: 'Uformer hub',
  policy: { scope: 'tasks:write', file: 'form' },
  summary: 'A picture as any browser shows it, TIFF among others',
  description: 'A WebP of at most 2048 pixels a side, upright. Nothing is kept.',
  request: form(schema.previewForm),
  responses: {
    200: {
      description: 'The picture.',
      content: { 'image/webp': { schema: { type: 'string', format: 'binary' } } },
    },
    ...invalid,
    ...closed,
    ...tooLarge,
    ...full,
  },
});
