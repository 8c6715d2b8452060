import { cutText } from '../../../core/cut-text.ts';
import { deliveryAs, formatLike } from '../../../core/delivery.ts';
import { GatewayError, invalidField } from '../../../core/errors.ts';
import { isStorable } from '../../../core/storable-text.ts';
import type { TaskRequest } from '../../../core/task.ts';
import { uploadUrl } from '../../../core/upload.ts';
import type { Workflow } from '../../../core/workflow.ts';
import { invalidRequest } from '../../errors.ts';
import type { FormFile } from '../../form-tasks.ts';
import { type Form, type FormFields, onlyText } from '../../multipart.ts';
import { newTaskId } from './job-id.ts';
import { defaultModel, listModels, scalesOf, workflowFor } from './models.ts';
import { type Wishes, wishes } from './schema.ts';

export const dialect = 'upscale';

const imagePart = 'image';
const defaultScale = 4;
const maxNameLength = 200;

/**
 * What a form asks for.
 *
 * @throws GatewayError `invalid_request` or `media_mismatch`, with the field.
 */
export function parseUpscale(
  form: Form<FormFile>,
  workflows: readonly Workflow[],
): TaskRequest & { readonly id: string } {
  const image = imageOf(form);
  const asked = parseWishes(form.fields);
  const { model_name: model = defaultModel } = asked;
  // The old service's zero value.
  const scale = asked.scale || defaultScale;
  const workflow = workflowOf(model, scale, workflows);
  const tileSize = takesTiles(workflow) ? asked.tile_size : 0;
  const name = nameOf(image);
  return {
    id: newTaskId(),
    dialect,
    kind: 'image',
    url: uploadUrl(image.id),
    inputs: tileSize ? { tile_size: tileSize } : {},
    workflow: workflow.name,
    size: { outscale: null, magnification: scale, dims: null },
    delivery: deliveryAs(asked.format ?? formatLike(image.file.contentType)),
    params: { ...(name === null ? {} : { image: name }), ...asked },
  };
}

function imageOf({ fields, files }: Form<FormFile>): FormFile {
  const image = files.get(imagePart);
  if (!image) {
    const isText = fields.has(imagePart);
    throw invalidField(
      imagePart,
      isText ? 'must be a file' : 'is missing; it takes the picture as a file',
    );
  }
  const other = [...files.keys()].find((name) => name !== imagePart);
  if (other !== undefined) throw invalidField(other, 'is a second file; a job takes one, as image');
  const { contentType } = image.file;
  if (!contentType.startsWith('image/')) {
    const kind = contentType.startsWith('audio/') ? 'sound' : 'video';
    throw new GatewayError('media_mismatch', `must be a picture, not a ${kind}`, {
      field: imagePart,
    });
  }
  return image;
}

function parseWishes(fields: FormFields): Wishes {
  const written = Object.keys(wishes.shape).flatMap((name) => {
    const text = onlyText(fields, name)?.trim();
    return text ? [[name, text]] : [];
  });
  const { data, error } = wishes.safeParse(Object.fromEntries(written));
  if (!data) throw invalidRequest(error);
  return data;
}

function workflowOf(model: string, scale: number, workflows: readonly Workflow[]): Workflow {
  const found = workflowFor(model, scale, workflows);
  if (found) return found;
  const largest = scalesOf(model, workflows).at(-1);
  if (largest !== undefined) {
    throw invalidField(
      'scale',
      `the model ${model} makes pictures ${largest} times as large at most`,
    );
  }
  const known = listModels(workflows).map(({ name }) => name);
  const list = known.join(', ') || 'none';
  const written = JSON.stringify(cutText(model, maxNameLength));
  throw invalidField('model_name', `there is no model ${written}; known: ${list}`);
}

/** The word of whoever wrote the workflow: what has it may be told it. */
function takesTiles({ parameters }: Workflow): boolean {
  return parameters.some(({ name }) => name === 'tile_size');
}

/** What the client calls the file, for the name of the result. */
function nameOf({ name }: FormFile): string | null {
  if (!name || !isStorable(name)) return null;
  // By characters: half of one could not be kept.
  return [...name].slice(-maxNameLength).join('');
}
