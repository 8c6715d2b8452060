import { invalidField } from '../../../core/errors.ts';
import { hasProtoKey } from '../../../core/json-names.ts';
import { uploadUrl } from '../../../core/upload.ts';
import { invalidRequest } from '../../errors.ts';
import { type Form, type FormFields, onlyText } from '../../multipart.ts';
import { type CreateTask, createTask } from './schema.ts';

/** The part with the file for the workflow's main input; others bear the names of their inputs. */
export const mainPart = 'file';

/**
 * A form as the request that it stands for in JSON. Files are named by where they will be.
 *
 * @throws GatewayError `invalid_request` with the field.
 */
export function requestOfForm({ fields, files }: Form<{ readonly id: string }>): CreateTask {
  if (fields.has(mainPart)) throw invalidField(mainPart, 'must be a file');
  const written: Record<string, unknown> = {};
  for (const name of createTask.keyof().options) written[name] = meantBy(fields, name);
  const body = accepted(written);
  const inputs = new Map(Object.entries(body.inputs ?? {}));
  for (const [name, { id }] of files) {
    const isMain = name === mainPart;
    if (isMain ? body.url != null : inputs.has(name)) {
      throw invalidField(name, 'is a file that another field names already; give one of them');
    }
    if (isMain) body.url = uploadUrl(id);
    else inputs.set(name, uploadUrl(id));
  }
  return inputs.size > 0 ? { ...body, inputs: Object.fromEntries(inputs) } : body;
}

/**
 * What a field stands for: its text where the schema takes it so, a value in JSON otherwise, and a list
 * where it is given several times. A form sends a field that was left empty as an empty text.
 */
function meantBy(fields: FormFields, name: keyof typeof createTask.shape): unknown {
  const texts = fields.get(name) ?? [];
  if (name === 'output_dims' && texts.length > 1) return texts.map(parsed);
  const text = onlyText(fields, name);
  if (text === undefined || text === '') return null;
  if (createTask.shape[name].safeParse(text).success) return text;
  const [, width, height] = /^\s*(\d+)\s*[x×,]\s*(\d+)\s*$/i.exec(text) ?? [];
  if (name === 'output_dims' && width && height) return [Number(width), Number(height)];
  if (hasProtoKey(text)) throw invalidField(name, 'has a key named "__proto__"');
  return parsed(text);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function accepted(written: Record<string, unknown>): CreateTask {
  const { data, error } = createTask.safeParse(written);
  if (!data) throw invalidRequest(error);
  return data;
}
