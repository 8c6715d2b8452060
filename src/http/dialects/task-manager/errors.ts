import type { GatewayError } from '../../../core/errors.ts';
import type { ErrorAnswer } from '../../errors.ts';
import { statusOf } from '../../status.ts';

/** What the core calls the fields of a request, in this dialect's words. */
const fieldNames: Readonly<Record<string, string>> = {
  url: 'image_url',
  target_url: 'upload_url',
  workflow: 'task_name',
};

/** One sentence, with the field that is wrong before it. */
export function presentError(error: GatewayError): ErrorAnswer {
  const { message, field } = error;
  if (!field) return answer(error, message);
  const named = fieldNames[field] ?? field.replace(/^inputs\./, 'kwargs.');
  const sentence = message.startsWith(`${field}: `) ? message.slice(field.length + 2) : message;
  return answer(error, `${named}: ${sentence}`);
}

function answer(error: GatewayError, detail: string): ErrorAnswer {
  return { status: statusOf(error), body: { detail } };
}
