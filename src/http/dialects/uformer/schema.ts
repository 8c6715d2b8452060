import { z } from '@hono/zod-openapi';

export const taskTypes = ['denoise', 'deblur'] as const;
export type TaskType = (typeof taskTypes)[number];

export const errorSchema = z
  .object({ detail: z.string().openapi({ example: 'There is no such task' }) })
  .openapi('UformerError');

/** As forms write it, and as Python does. */
const formBoolean = z
  .stringbool({
    truthy: ['true', '1', 'on', 'yes'],
    falsy: ['false', '0', 'off', 'no'],
    error: 'must be true or false',
  })
  .openapi({ type: 'boolean' });

const taskId = 'a1b2c3d4-e5f6-4890-a1b2-c3d4e5f67890';
const resultPath =
  '/static_results/images/denoise/processed/1678886400_a1b2c3d4_enhanced_image.png';

const taskType = z
  .enum(taskTypes, `must be ${taskTypes.join(' or ')}`)
  .openapi({ example: 'denoise' });

const modelName = z
  .string('must be the name of a model')
  .max(200, 'must be at most 200 characters')
  .openapi({ example: 'denoise_16' });

/** The fields of a form beside its file; unknown ones are let pass. */
export const imageWishes = z.object({
  // With a default in the reference, generated clients would demand these.
  task_type: taskType.optional().openapi({
    description: 'Where it is left out, the one that the model is for; `denoise` without a model.',
  }),
  model_name: modelName.optional().openapi({
    description: 'One of the task; `denoise_b` or `deblur_b` where it is left out.',
  }),
  use_patch_processing: formBoolean.optional().openapi({
    description: 'Passed on to workflows that have a parameter of this name.',
  }),
});
export const videoWishes = imageWishes.omit({ use_patch_processing: true });

export type Wishes = z.infer<typeof imageWishes> & { readonly task_type: TaskType };

/** What a task remembers of its request, as far as its result is named by it. */
export const keptParams = z.object({
  task_type: taskType,
  /** What the file was called, without its ending; fit for a path. */
  file_name: z.string(),
});

export type KeptParams = Wishes & z.infer<typeof keptParams>;

const file = z.string().openapi({ format: 'binary' });

export const processImage = imageWishes.extend({ image_file: file }).openapi('UformerProcessImage');
export const processVideo = videoWishes.extend({ video_file: file }).openapi('UformerProcessVideo');
export const previewForm = z.object({ image_file: file }).openapi('UformerPreviewForm');

export const started = z
  .object({
    task_id: z.uuid().openapi({ example: taskId }),
    message: z.string().openapi({ example: 'Image processing task started.' }),
  })
  .openapi('UformerStarted');

const underWay = z
  .object({
    status: z.enum(['pending', 'processing']),
    progress: z.int().min(0).max(100).openapi({ example: 42 }),
    message: z.string().openapi({ example: 'Processing...' }),
  })
  .openapi('UformerUnderWay');

const completed = z
  .object({
    status: z.literal('completed'),
    result_path: z.string().openapi({
      description: 'Put it behind the base address of the API.',
      example: resultPath,
    }),
  })
  .openapi('UformerCompleted');

const failed = z
  .object({ status: z.literal('failed'), error: z.string() })
  .openapi('UformerFailed');

export const status = z.union([underWay, completed, failed]).openapi('UformerStatus');

export const confirmDownload = z
  .object({
    result_path: z.string().openapi({ example: resultPath }),
  })
  .openapi('UformerConfirmDownload');

export const message = z.object({ message: z.string() }).openapi('UformerMessage');

export const heartbeat = z
  .object({ task_id: z.string().openapi({ example: taskId }) })
  .openapi('UformerHeartbeat');

export const heartbeatAnswer = z
  .object({ status: z.enum(['heartbeat_received', 'task_not_found_ok']) })
  .openapi('UformerHeartbeatAnswer');

export const cacheStatus = z
  .object({ image_cache_mb: z.number(), video_cache_mb: z.number() })
  .openapi('UformerCacheStatus');

/** A parameter that was left empty counts as left out. */
const queryBoolean = z
  .union([z.literal('').transform(() => undefined), formBoolean], 'must be true or false')
  .optional()
  .openapi({ type: 'boolean' });

export const clearCache = z.object({ clear_images: queryBoolean, clear_videos: queryBoolean });

export const cacheCleared = z
  .object({
    cleared_count: z.int(),
    skipped_in_progress_count: z.int(),
    skipped_awaiting_download_count: z.int(),
  })
  .openapi('UformerCacheCleared');

export const unloadModels = z
  .object({
    model_names: z
      .array(z.string().max(200), 'must be a list of names')
      .max(100, 'must be at most 100 names')
      .optional()
      .openapi({
        description: 'All models where it is empty or left out.',
        example: ['denoise_b'],
      }),
  })
  .openapi('UformerUnloadModels');

export const modelsUnloaded = z
  .object({ unloaded_models: z.array(z.string()), skipped_models: z.array(z.string()) })
  .openapi('UformerModelsUnloaded');

export const loadedModels = z
  .object({ models: z.array(z.object({ name: z.string(), loaded: z.boolean() })) })
  .openapi('UformerLoadedModels');

const byTask = z.record(z.enum(taskTypes), z.array(z.string()));

export const availableControls = z
  .object({ image: byTask, video: byTask })
  .openapi('UformerAvailableControls');

export const loadingStrategy = z
  .object({ load_all_on_startup: z.boolean() })
  .openapi('UformerLoadingStrategy');

export const health = z.object({ status: z.literal('ok') }).openapi('UformerHealth');
