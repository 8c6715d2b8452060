import { z } from '@hono/zod-openapi';
import { resultKinds } from '../../../core/result-format.ts';
import { stageNames } from '../../../core/stage.ts';

export const managedTaskStates = [
  'PENDING',
  'RECEIVED',
  'STARTED',
  'SUCCESS',
  'FAILURE',
  'TIMEOUT',
  'REVOKED',
] as const;

export const errorBody = z
  .object({ detail: z.string().openapi({ example: 'task_name: is required' }) })
  .openapi('ManagedTaskError');

const address = z
  .string('must be the address of a file')
  .min(1, 'must not be empty')
  .max(8_192, 'must be at most 8192 characters');

/** What may stand in `args`, in this order, or in `kwargs`. */
export const parameters = ['image_url', 'upload_url'] as const;

/** Fields that are there but `null` count as absent; unknown ones are let pass. */
export const submitTask = z
  .object(
    {
      task_name: z
        .string({ error: ({ input }) => (input == null ? 'is required' : 'must be a string') })
        .min(1, 'must not be empty')
        .max(200, 'must be at most 200 characters')
        .openapi({
          description: 'One of those that `GET /api/v1/task-names` lists.',
          example: 'image_super_resolution_pipeline',
        }),
      args: z
        .array(address.nullable(), 'must be an array')
        .max(parameters.length, `takes ${parameters.join(' and ')}, and no more`)
        .nullish()
        .openapi({
          description:
            '`image_url`: the file to work on. `upload_url`: an address that takes one PUT, such as a presigned one, where the result goes; without it the result is stored.',
          example: [
            'https://example.com/input-image.jpg',
            'https://s3.amazonaws.com/bucket/output.jpg',
          ],
        }),
      kwargs: z
        .looseObject(
          { image_url: address.nullish(), upload_url: address.nullish() },
          'must be an object',
        )
        .nullish()
        .openapi({
          description:
            'The same by name, with inputs and parameters of the workflow behind the task name.',
          example: {},
        }),
      priority: z
        .int()
        .min(0)
        .max(10)
        .nullish()
        .openapi({ description: 'The higher goes first; 5 where it is left out.', example: 5 }),
      sync: z
        .boolean()
        .nullish()
        .openapi({ description: 'Whether to answer when the task has ended.', example: false }),
    },
    'the body must be a JSON object',
  )
  .openapi('ManagedTaskRequest');

export type SubmitTask = z.infer<typeof submitTask>;

/** ISO 8601 in UTC, to the second. */
const instant = z.iso.datetime().openapi({ example: '2025-01-15T10:30:00Z' });
const taskId = z.uuid().openapi({ example: '550e8400-e29b-41d4-a716-446655440000' });
const state = z.enum(managedTaskStates);
const progress = z.number().min(0).max(1);

export const taskAccepted = z
  .object({ task_id: taskId, state, submitted_at: instant })
  .openapi('ManagedTaskAccepted');

const classification = z.object({
  category: z.enum(['general', 'portrait', 'landscape']).openapi({
    description: 'By the shape of the input; `general` is nearly square.',
  }),
  width: z.int(),
  height: z.int(),
  aspect_ratio: z.number().openapi({ description: 'Width by height, to two decimals.' }),
});

const result = z.object({
  task_id: taskId,
  input_url: z.string().nullable(),
  output_url: z.string().nullable().openapi({
    description: 'The stored object; `null` when the gateway does not keep it any longer.',
  }),
  classification: classification.nullable(),
});

const stage = z.object({
  name: z.enum(stageNames),
  state,
  progress,
  started_at: instant.nullable(),
  completed_at: instant.nullable(),
  detail: z.string().nullable(),
});

export const managedTask = z
  .object({
    task_id: taskId,
    state,
    progress,
    result: result.nullable().openapi({ description: 'Set when the state is `SUCCESS`.' }),
    error: z.string().nullable().openapi({
      description: 'Set when the state is `FAILURE` or `TIMEOUT`.',
    }),
    submitted_at: instant,
    started_at: instant.nullable(),
    completed_at: instant.nullable(),
    subtasks: z.array(z.enum(stageNames)).openapi({ description: 'The names of its stages.' }),
    stages: z.array(stage).openapi({ description: 'How each of them goes.' }),
  })
  .openapi('ManagedTask');

export const taskCleanedUp = z
  .object({ status: z.literal('success'), message: z.string() })
  .openapi('ManagedTaskCleanup');

export const taskNameList = z
  .object({
    task_names: z.array(
      z.object({
        task_name: z.string(),
        workflow: z.string(),
        description: z.string().nullable(),
        kind: z.enum(resultKinds).nullable().openapi({ description: 'What it works on.' }),
        parameters: z.array(z.string()).openapi({ description: 'What `kwargs` may hold.' }),
        available: z.boolean().openapi({
          description: 'Whether there is a server that can run it at present.',
        }),
      }),
    ),
  })
  .openapi('ManagedTaskNames');

export const health = z
  .object({
    status: z.literal('healthy'),
    service: z.literal('task-manager-api'),
    version: z.string(),
  })
  .openapi('ManagedTaskHealth');
