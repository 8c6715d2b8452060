import type { z } from '@hono/zod-openapi';
import type { ErrorCode, GatewayError } from '../../../core/errors.ts';
import type { ErrorAnswer } from '../../errors.ts';
import { statusOf } from '../../status.ts';
import type { error as errorSchema } from './schema.ts';

type ErrorBody = z.infer<typeof errorSchema>;

/** What this service says in another way than the core: its clients know of jobs and of their image. */
const own: Partial<Record<ErrorCode, { code?: string; text?: string; status?: 413 | 503 }>> = {
  task_not_found: { code: 'job_not_found', text: 'There is no such job' },
  task_already_ended: { code: 'job_already_ended', text: 'The job has already ended' },
  source_too_large: { status: 413 },
  // The result is there; another try may have it.
  storage_failed: { status: 503 },
};

/** Of the file, wherever it was found out. */
const ofImage: readonly ErrorCode[] = [
  'source_empty',
  'source_too_large',
  'media_unsupported',
  'media_mismatch',
];

export function presentError(error: GatewayError): ErrorAnswer {
  const {
    code = error.code,
    text = textOf(error),
    status = statusOf(error),
  } = own[error.code] ?? {};
  return { status, body: errorBody(code, text) };
}

export function errorBody(code: string, text: string): ErrorBody {
  return { success: false, error: text, code };
}

/** A workflow's parameter is a field of the form here. */
function textOf({ code, message }: GatewayError): string {
  return ofImage.includes(code) ? `image: ${message}` : message.replace(/^inputs\./, '');
}
