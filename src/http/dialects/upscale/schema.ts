import { z } from '@hono/zod-openapi';
import { ownCodes } from './error-words.ts';
import { defaultModel, scales } from './models.ts';

const exampleId = '1769781953720134401';

/** A form sends texts, and one for a field that was left empty. */
const scaleText = z
  .string('must be 2, 3 or 4')
  .regex(/^[0234]$/, 'must be 2, 3 or 4')
  .transform(Number)
  .openapi({ type: 'integer', enum: [...scales], example: 4 });

const formats = { png: 'png', jpg: 'jpg', jpeg: 'jpg', webp: 'webp' } as const;

export const wishes = z.object({
  scale: scaleText.optional().openapi({
    description:
      'The result has so many times the width and the height. 4 where it is left out, or 0.',
  }),
  model_name: z
    .string()
    .optional()
    .openapi({
      description: `As \`/models\` lists them; ${defaultModel} where it is left out.`,
      example: defaultModel,
    }),
  format: z
    .string()
    .toLowerCase()
    .pipe(z.enum(['png', 'jpg', 'jpeg', 'webp'], 'must be png, jpg or webp'))
    .transform((format) => formats[format])
    .optional()
    .openapi({
      type: 'string',
      enum: ['png', 'jpg', 'jpeg', 'webp'],
      description:
        'The format of the result. Where it is left out: that of the picture, or PNG where that is another one.',
    }),
  tile_size: z
    .string()
    .regex(/^\d{1,9}$/, 'must be a whole number of pixels, at least 0')
    .transform(Number)
    .optional()
    .openapi({
      type: 'integer',
      minimum: 0,
      maximum: 999_999_999,
      description:
        'The side of the squares in which the picture is worked on. Only workflows with a parameter of this name use it; 0 leaves it to the workflow.',
    }),
});

export type Wishes = z.infer<typeof wishes>;

export const upscaleForm = wishes
  .extend({
    image: z.string().openapi({
      format: 'binary',
      description: 'The picture: PNG, JPEG or WebP. GIF, TIFF, AVIF and HEIC are taken too.',
    }),
  })
  .openapi('UpscaleForm');

export const jobIdParam = z.object({ job_id: z.string().openapi({ example: exampleId }) });

export const modelsQuery = z.object({
  scale: z
    .string('must be given once')
    .optional()
    .transform((text) => /^\s*[+-]?\d+/.exec(text ?? '')?.[0])
    .openapi({
      type: 'integer',
      example: 4,
      description: 'Only models with this scale. Text that is no number counts as left out.',
    }),
});

export const submitted = z
  .object({
    success: z.literal(true),
    job_id: z.string().openapi({
      description: '19 digits that fit a signed integer of 64 bits.',
      example: exampleId,
    }),
    status_url: z.string().openapi({ example: `/api/v1/status/${exampleId}` }),
  })
  .openapi('UpscaleSubmitted');

const size = z.object({ width: z.int(), height: z.int() }).openapi('UpscaleSize');

const processing = z
  .object({
    job_id: z.string().openapi({ example: exampleId }),
    status: z.literal('processing'),
    progress: z.int().min(0).max(100).openapi({ description: '0 while it waits.', example: 45 }),
  })
  .openapi('UpscaleProcessing');

const completed = z
  .object({
    job_id: z.string().openapi({ example: exampleId }),
    status: z.literal('completed'),
    progress: z.literal(100),
    download_url: z.string().openapi({ example: `/api/v1/download/${exampleId}` }),
    duration_seconds: z.number().openapi({
      description: 'From the beginning of the work to its end.',
      example: 2.5,
    }),
    input_size: size,
    output_size: size,
    file_size_bytes: z.int().openapi({ example: 4_501_239 }),
  })
  .openapi('UpscaleCompleted');

const failed = z
  .object({
    job_id: z.string().openapi({ example: exampleId }),
    status: z.literal('failed'),
    error: z.string().openapi({ description: 'Of a job that was canceled, that it was.' }),
  })
  .openapi('UpscaleFailed');

export const status = z
  .discriminatedUnion('status', [processing, completed, failed])
  .openapi('UpscaleStatus');

export const canceled = z
  .object({
    success: z.literal(true),
    message: z.string(),
    job_id: z.string().openapi({ example: exampleId }),
    status: z.literal('canceled'),
  })
  .openapi('UpscaleCanceled');

export const models = z
  .object({
    version: z.string().openapi({ example: '1.0.0' }),
    models: z.array(
      z
        .object({
          name: z.string().openapi({ example: defaultModel }),
          description: z.string(),
          supported_scales: z.array(z.int()).openapi({ example: [2, 3, 4] }),
        })
        .openapi('UpscaleModel'),
    ),
  })
  .openapi('UpscaleModels');

export const health = z
  .object({
    status: z.literal('ok'),
    version: z.string().openapi({ example: '1.0.0' }),
    time: z.int().openapi({ description: 'Seconds since 1970.', example: 1_709_223_344 }),
  })
  .openapi('UpscaleHealth');

export const error = z
  .object({
    success: z.literal(false),
    error: z.string().openapi({ description: 'What is wrong, in a sentence.' }),
    code: z
      .string()
      .openapi({ enum: ownCodes, description: 'The same in a word that never changes.' }),
  })
  .openapi('UpscaleError');
