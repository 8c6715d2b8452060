import { deliveryAs, deliveryAsUsual, formatLike } from '../../../core/delivery.ts';
import { invalidField } from '../../../core/errors.ts';
import { fileStem } from '../../../core/file-stem.ts';
import { type PictureKind, withArticle } from '../../../core/media.ts';
import { sizeAsTheWorkflowGives } from '../../../core/size-plan.ts';
import type { TaskRequest } from '../../../core/task.ts';
import { uploadUrl } from '../../../core/upload.ts';
import type { Workflow } from '../../../core/workflow.ts';
import { invalidRequest } from '../../errors.ts';
import type { FormFile } from '../../form-tasks.ts';
import { type Form, type FormFields, onlyText } from '../../multipart.ts';
import { isNamed, modelsFor, modelsOf, taskTypeOf } from './models.ts';
import { keepMs } from './result-life.ts';
import { imageWishes, type KeptParams, type TaskType, videoWishes, type Wishes } from './schema.ts';

export const dialect = 'uformer';

const usualModel: Record<TaskType, string> = { denoise: 'denoise_b', deblur: 'deblur_b' };

/** The one file of a form. */
export function fileOf(form: Form<FormFile>, kind: PictureKind): FormFile {
  const part = `${kind}_file`;
  if (form.fields.has(part)) throw invalidField(part, 'must be a file');
  for (const name of form.files.keys()) {
    if (name !== part) throw invalidField(name, `is a file; the one file goes by the name ${part}`);
  }
  const sent = form.files.get(part);
  if (!sent) throw invalidField(part, 'is missing');
  if (!sent.file.contentType.startsWith(`${kind}/`)) {
    throw invalidField(part, `must be ${withArticle(kind)}`);
  }
  return sent;
}

/**
 * A form as a task.
 *
 * @throws GatewayError `invalid_request` with the field.
 */
export function parseForm(
  form: Form<FormFile>,
  kind: PictureKind,
  workflows: readonly Workflow[],
): TaskRequest {
  const wishes = parseWishes(form.fields, kind);
  const workflow = workflowOf(wishes, kind, workflows);
  const { id, name, file } = fileOf(form, kind);
  return {
    dialect,
    kind,
    workflow: workflow.name,
    url: uploadUrl(id),
    inputs: argumentsOf(wishes, workflow),
    // A result is as large as what it was made of, whatever the model.
    size: { ...sizeAsTheWorkflowGives, magnification: workflow.scale === 1 ? null : 1 },
    delivery: kind === 'image' ? deliveryAs(formatLike(file.contentType)) : deliveryAsUsual,
    params: { ...wishes, file_name: fileStem(name ?? '') } satisfies KeptParams,
    keepMs,
  };
}

function parseWishes(fields: FormFields, kind: PictureKind): Wishes {
  const schema = kind === 'image' ? imageWishes : videoWishes;
  const written = Object.keys(schema.shape).flatMap((name) => {
    // A form sends a field that was left empty as an empty text.
    const text = onlyText(fields, name);
    return text ? [[name, text]] : [];
  });
  const { data, error } = schema.safeParse(Object.fromEntries(written));
  if (!data) throw invalidRequest(error);
  const { task_type = taskTypeOf(data.model_name ?? '') ?? 'denoise' } = data;
  return { ...data, task_type };
}

function workflowOf(
  { task_type, model_name }: Wishes,
  kind: PictureKind,
  workflows: readonly Workflow[],
): Workflow {
  const models = modelsFor(modelsOf(workflows), task_type, kind);
  const wanted = model_name ?? usualModel[task_type];
  const model =
    models.find((each) => isNamed(each, wanted)) ?? (model_name === undefined ? models[0] : null);
  if (model) return model.workflow;
  const known = models.map(({ name }) => name).join(', ') || 'none';
  throw invalidField(
    'model_name',
    `is no model that can ${task_type} ${withArticle(kind)}; known: ${known}`,
  );
}

function argumentsOf(
  { use_patch_processing: choice }: Wishes,
  { parameters }: Workflow,
): TaskRequest['inputs'] {
  const isTaken = parameters.some(({ name }) => name === 'use_patch_processing');
  return isTaken && choice !== undefined ? { use_patch_processing: choice } : {};
}

/**
 * The path of a result, decoded, in what a client names it by: the path as we gave it out, or an address
 * that ends with it. `null` for what names none.
 */
export function parseResultPath(text: string): string | null {
  const [path] = /\/static_results\/[^?#]*/.exec(text) ?? [];
  return path === undefined ? null : decoded(path);
}

/** How the id of the task begins whose result goes by the path; `null` for what is no such path. */
export function idStartOf(path: string): string | null {
  return /\/processed\/\d+_([0-9a-f]{8})_[^/]+$/.exec(path)?.[1] ?? null;
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
