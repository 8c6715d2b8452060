import { z } from '@hono/zod-openapi';
import { maxSidePixels } from '../../../core/size-plan.ts';
import { stageNames, stageStates } from '../../../core/stage.ts';
import { taskStates } from '../../../core/task.ts';

/** A workflow's file name, with or without `.json`. */
const workflowName = z
  .string()
  .max(200)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'must be the name of a workflow file');

const factor = z.number().gt(0, 'must be more than 0').max(64, 'must be at most 64');
const side = z
  .int('must be a whole number of pixels')
  .min(1, 'must be at least 1 pixel')
  .max(maxSidePixels, `must be at most ${maxSidePixels} pixels`);

/** Fields that are there but `null` count as absent; unknown ones are let pass, as ever. */
export const createTask = z
  .object({
    url: z
      .string('must be a string')
      .min(1, 'must not be empty')
      .max(8192, 'must be at most 8192 characters')
      .openapi({ example: 'https://example.com/image.jpg' }),
    type: z.enum(['video', 'image'], 'must be video or image').nullish(),
    workflow: workflowName.nullish().openapi({ example: 'seedvr2_image_4096.json' }),
    model: z.string('must be a string').max(200).nullish(),
    outscale: factor.nullish(),
    output_magnification: factor.nullish(),
    output_dims: z
      .tuple([side, side], 'must be [width, height] in pixels')
      .nullish()
      .openapi({ type: 'array', items: { type: 'integer' }, minItems: 2, maxItems: 2 }),
  })
  .openapi('CreateTask');

export type CreateTask = z.infer<typeof createTask>;

export const taskCreated = z
  .object({ status: z.literal('ok'), task_id: z.string() })
  .openapi('TaskCreated');

const stage = z.object({
  name: z.enum(stageNames),
  status: z.enum(stageStates),
  progress: z.int().min(0).max(100),
  duration: z.number().nullable().openapi({ description: 'Seconds.' }),
  detail: z.string().nullable(),
});

const mediaInfo = z.looseObject({ width: z.int(), height: z.int(), format: z.string() });

export const task = z
  .object({
    task_id: z.string(),
    status: z.enum(taskStates),
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime(),
    params: z.record(z.string(), z.unknown()),
    workflow: z.string(),
    stages: z.array(stage),
    output: z
      .object({
        url: z.string(),
        size_mb: z.number(),
        metadata: z.looseObject({ input: mediaInfo }),
      })
      .nullable(),
    error: z.string().nullable(),
    error_code: z.string().nullable(),
    retries: z.int(),
  })
  .openapi('Task');

export const taskCanceled = z.object({ status: z.literal('canceled') }).openapi('TaskCanceled');

export const stats = z
  .object({
    system: z.object({
      max_workers: z.int(),
      active_workers: z.int(),
      queue_size: z.int(),
    }),
    pool_status: z.array(
      z.object({
        address: z.string(),
        status: z.string(),
        last_active: z.number().nullable().openapi({ description: 'Seconds since 1970.' }),
        version: z.string().nullable(),
      }),
    ),
    stats: z.record(z.enum(taskStates), z.int()),
    tasks: z.array(task),
  })
  .openapi('Stats');

export const health = z.object({ status: z.literal('ok') }).openapi('Health');

export const error = z
  .object({
    status: z.literal('error'),
    code: z.string(),
    message: z.string(),
    field: z.string().optional(),
  })
  .openapi('Error');
