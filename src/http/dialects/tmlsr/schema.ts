import { z } from '@hono/zod-openapi';
import { encodedFormats } from '../../../core/delivery.ts';
import { mediaKinds } from '../../../core/media.ts';
import { resultKinds } from '../../../core/result-format.ts';
import { maxSidePixels } from '../../../core/size-plan.ts';
import { stageNames, stageStates } from '../../../core/stage.ts';
import { taskStates } from '../../../core/task.ts';
import { warningCodes } from '../../../core/warning.ts';
import { isWorkflowName } from '../../../workflows/folder.ts';
import { errorCodeSchema, errorSchema } from '../../errors.ts';
import { ignoredField } from '../../ignored-fields.ts';
import { pauseSchema } from '../../pauses.ts';

/** A workflow's file name, with or without `.json`. */
const workflowName = z
  .string()
  .refine(
    (name) => isWorkflowName(name.replace(/\.json$/i, '')),
    'must be the name of a workflow file',
  );

/** One that is not left out names its file or value. */
const inputs = z.record(z.string().max(200), z.unknown()).openapi({
  description:
    "By the names that `GET /workflows/{name}` lists: addresses of files, and values of the workflow's parameters; a seed may be `random`.",
  example: { seed: 7 },
});

const factor = z.number().gt(0).max(64);
const side = z
  .int('must be a whole number of pixels')
  .min(1, 'must be at least 1 pixel')
  .max(maxSidePixels, `must be at most ${maxSidePixels} pixels`);

const timeout = z
  .number('must be a number of seconds')
  .gt(0, 'must be more than 0')
  .max(10_000_000, 'must be at most 10000000');

/** Fields that are there but `null` count as absent; unknown ones are let pass, as ever. */
export const createTask = z
  .object({
    url: z.string().min(1).max(8192).nullish().openapi({
      description: "The file for the workflow's main input.",
      example: 'https://example.com/image.jpg',
    }),
    inputs: inputs.nullish(),
    type: z.enum(resultKinds).nullish().openapi({ description: 'What the workflow works on.' }),
    workflow: workflowName.nullish().openapi({ example: 'seedvr2_image_4096.json' }),
    model: z.string().max(200).nullish(),
    outscale: factor.nullish(),
    output_magnification: factor.nullish(),
    priority: z
      .int()
      .min(0)
      .max(10)
      .nullish()
      .openapi({ description: '0 to 10, the higher goes first; 5 where it is left out.' }),
    queue_timeout: timeout.nullish().openapi({
      description: 'Seconds that the task may wait before it is begun.',
    }),
    queue_when_unavailable: z.boolean().nullish().openapi({
      description: 'Whether to wait where no ComfyUI server can run the workflow at present.',
    }),
    run_timeout: timeout.nullish().openapi({
      description: 'Seconds that the workflow may run.',
    }),
    output_dims: z
      .tuple([side, side], 'must be [width, height] in pixels')
      .nullish()
      .openapi({ type: 'array', items: { type: 'integer' }, minItems: 2, maxItems: 2 }),
    format: z
      .preprocess(
        (format) => (format === 'jpeg' ? 'jpg' : format),
        z.enum(encodedFormats).nullish(),
      )
      .openapi({
        type: 'string',
        enum: [...encodedFormats, 'jpeg'],
        description: 'What pictures are encoded as; without it, as the workflow writes them.',
      }),
    quality: z
      .int()
      .min(1)
      .max(100)
      .nullish()
      .openapi({ description: 'Of a picture in jpg, webp or avif.' }),
    keep_metadata: z.boolean().nullish().openapi({
      description: 'Whether what ComfyUI writes into files, the whole graph, stays in them.',
    }),
    target_url: z.string().min(1).max(8192).nullish().openapi({
      description:
        'Where the main result goes instead of the object store: an address that takes one PUT, such as a presigned one (https://bucket.example.com/result.png?signature=x). It has to hold until the task ends.',
    }),
  })
  .openapi('CreateTask');

export type CreateTask = z.infer<typeof createTask>;

/** As clients write it who send the files along. */
export const createTaskForm = createTask
  .omit({ url: true })
  .extend({
    file: z.string().optional().openapi({
      format: 'binary',
      description:
        "The file for the workflow's main input. Files for others go by the names of their inputs.",
    }),
  })
  .openapi('CreateTaskForm');

const warning = z.object({ code: z.enum(warningCodes), message: z.string() }).openapi('Warning');

export const taskCreated = z
  .object({
    status: z.literal('ok'),
    task_id: z.string(),
    warnings: z.array(warning).openapi({
      description:
        'What is known of the sources at once. They are read later as a rule; then the task has the warnings.',
    }),
    ignored: z.array(ignoredField).openapi({
      description: 'What the request said that changed nothing.',
    }),
  })
  .openapi('TaskCreated');

const stage = z.object({
  name: z.enum(stageNames),
  status: z.enum(stageStates),
  progress: z.int().min(0).max(100),
  duration: z.number().openapi({ description: 'Seconds; 0 before it has begun.' }),
  detail: z.string(),
});

/** What is not known of a file, or is of another kind of file, is left out. */
const mediaFacts = {
  kind: z.enum(mediaKinds).optional(),
  format: z.string().optional(),
  width: z.int().optional().openapi({ description: 'Pixels, as it is shown.' }),
  height: z.int().optional(),
  frames: z.int().nullish().openapi({ description: 'Of a clip, or of a picture that moves.' }),
  fps: z.number().nullish(),
  duration_seconds: z.number().optional(),
  codec: z.string().nullish(),
  has_audio: z.boolean().optional(),
  hdr: z.boolean().optional().openapi({ description: 'Whether a clip is in PQ or HLG.' }),
  variable_rate: z.boolean().optional(),
  interlaced: z.boolean().optional(),
  channels: z.int().optional().openapi({ description: 'Of a sound.' }),
  sample_rate: z.int().optional().openapi({ description: 'Hertz, of a sound.' }),
};

const mediaInfo = z.looseObject(mediaFacts);

const output = z.object({
  url: z.string(),
  thumbnail_url: z.string().nullable().openapi({
    description: 'A WebP of at most 320 pixels a side, of a picture.',
  }),
  size_mb: z.number(),
  text: z.string().optional().openapi({
    description:
      'Of a text, its beginning: 64 KiB at most of all of a task. Not in lists of tasks.',
  }),
  metadata: z.looseObject({
    ...mediaFacts,
    content_type: z.string(),
    size_bytes: z.int(),
    sha256: z.string(),
    input: mediaInfo.nullable().openapi({ description: 'What the main input was.' }),
    metadata_kept: z.literal(true).optional().openapi({
      description:
        'Set where what ComfyUI wrote into the file, the whole graph, may be in it still: because it was asked for, or because it cannot be taken out of such a file.',
    }),
    transparency: z.enum(['kept', 'dropped']).optional().openapi({
      description: 'For a picture that is transparent somewhere: whether the result is so, too.',
    }),
    scale: z.number().nullable().openapi({
      description: "How many times the main input's width the result has.",
    }),
  }),
});

export const task = z
  .object({
    task_id: z.string(),
    status: z.enum(taskStates),
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime(),
    params: z.record(z.string(), z.unknown()),
    workflow: z.string(),
    workflow_hash: z.string().nullable().openapi({
      description: 'Which version of the workflow it runs, or ran.',
    }),
    inputs: z.record(z.string(), z.unknown()).openapi({
      description:
        "The files and the values of the workflow's parameters, a drawn seed among them.",
    }),
    stages: z.array(stage),
    output: output.nullable().openapi({ description: 'The main result.' }),
    outputs: z.array(output.extend({ name: z.string() })).openapi({
      description: 'All results, the main one first.',
    }),
    text: z.string().nullable().openapi({
      description: 'What a node of the workflow showed or wrote as text. Not in lists of tasks.',
    }),
    warnings: z.array(warning).openapi({
      description: 'What may not be as expected of the results, though nothing has failed.',
    }),
    cached: z.boolean().openapi({
      description: 'Whether the results are copies of those of an identical task (CACHE=on).',
    }),
    results_removed_at: z.iso.datetime().nullable().openapi({
      description: 'When the results left the store; their links lead nowhere since.',
    }),
    queue: z
      .object({
        position: z.int().openapi({
          description: '1 is the next to be begun; 1000 stands for anything from there on.',
        }),
        expected_start: z.iso.datetime().nullable(),
        paused: z.union([pauseSchema, z.null()]).openapi({
          description: 'What keeps the task from its start. Its queue_timeout runs on.',
        }),
      })
      .nullable()
      .openapi({ description: 'Set while the task waits; not in lists of tasks.' }),
    retry_at: z.iso.datetime().nullable().openapi({
      description: 'Set while a task whose attempt failed waits before it is tried again.',
    }),
    error: z.string().nullable(),
    // A nullable name of a schema would be written as both at once, which nothing fits.
    error_code: z.union([errorCodeSchema, z.null()]),
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
        address: z.string().openapi({
          description: 'Only operators see it; others see a name that stays: `backend-1`.',
          example: 'http://127.0.0.1:8188',
        }),
        status: z.string(),
        last_active: z.number().nullable().openapi({ description: 'Seconds since 1970.' }),
        version: z.string().nullable().openapi({ description: 'Only operators see it.' }),
        reason: z
          .string()
          .openapi({ description: 'Only operators see it; for others it is empty.' }),
        since: z.iso.datetime().nullable(),
        task_id: z.string().nullable().openapi({
          description: "Empty where it works on another's task; `null` where it does not work.",
        }),
        next_task_id: z.string().nullable(),
        unfetched: z
          .int()
          .openapi({ description: 'Tasks whose results are still to be fetched from it.' }),
        warm_workflow: z.string().nullable(),
        busy_share: z.number().openapi({ description: 'Of the last five minutes, 0 to 1.' }),
        devices: z
          .array(z.object({ name: z.string(), memory_total: z.int(), memory_free: z.int() }))
          .openapi({ description: 'Only operators see it; for others it is empty.' }),
        gateway: z.string().nullable(),
      }),
    ),
    stats: z.record(z.enum(taskStates), z.int()),
    workflows: z.array(
      z.object({
        name: z.string(),
        pending: z.int(),
        processing: z.int(),
        learned_duration: z.number().nullable().openapi({
          description: 'Median seconds on the GPU of its last runs.',
        }),
        expected_wait: z.number().nullable().openapi({
          description: 'Seconds that a new task would wait.',
        }),
        runs_on: z.int(),
        of: z.int(),
        why_not: z.record(z.string(), z.array(z.string())).openapi({
          description: 'By ComfyUI server, why it does not run there. Only operators see it.',
        }),
        problem: z.string().nullable().openapi({
          description: 'What is wrong with its files as they are now.',
        }),
      }),
    ),
    pauses: z.array(pauseSchema).openapi({
      description: 'What is paused; of tenants, those that the key may see.',
    }),
    tasks: z.array(task),
  })
  .openapi('Stats');

/** What other services tell of themselves is told with it, where it does not contradict. */
const check = z
  .object({
    ok: z.boolean(),
    reason: z.string().nullable().openapi({ description: 'Why not.' }),
  })
  .openapi('Check');

const checks = z.object({
  database: check,
  store: check.openapi({ description: 'Of the object store; up to ten seconds old.' }),
  servers: check.openapi({ description: 'Whether a ComfyUI server of the pool is in service.' }),
});

export const ready = z.object({ status: z.literal('ready'), checks }).openapi('Ready');

export const notReady = errorSchema.extend({ checks }).openapi('NotReady');

export const health = z
  .object({
    status: z.literal('ok'),
    service: z.string(),
    version: z.string(),
    time: z.int().openapi({ description: 'Seconds since 1970.' }),
  })
  .openapi('Health');

export const index = z.object({
  service: z.string(),
  version: z.string(),
  stats: z.string(),
  api: z.string(),
  docs: z.string(),
});
