import type { GatewayError } from '../../../core/errors.ts';
import type { ErrorAnswer } from '../../errors.ts';
import { json } from '../../openapi.ts';
import { statusOf } from '../../status.ts';
import { errorSchema } from './schema.ts';

/** As FastAPI tells errors. */
export function presentError(error: GatewayError): ErrorAnswer {
  return { status: statusOf(error), body: { detail: error.message } };
}

export const closed = {
  401: json(errorSchema, 'A key is needed.'),
  403: json(errorSchema, 'The key lacks the scope.'),
};
export const invalid = { 400: json(errorSchema, 'The request is wrong; `detail` says where.') };
export const tooLarge = { 413: json(errorSchema, 'The body is too large.') };
export const unknown = { 404: json(errorSchema, 'There is no such task, or no such result.') };
export const full = {
  503: json(errorSchema, 'The gateway cannot do it at present.'),
  507: json(errorSchema, 'There is no room for the file at the moment.'),
};
