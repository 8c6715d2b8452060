import type { z } from '@hono/zod-openapi';
import type { ErrorCode, GatewayError } from '../../../core/errors.ts';
import type { ErrorAnswer } from '../../errors.ts';
import { statusOf } from '../../status.ts';
import { own } from './error-words.ts';
import type { error as errorSchema } from './schema.ts';

type ErrorBody = z.infer<typeof errorSchema>;

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
