import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { ErrorCode, Fault, GatewayError } from '../core/errors.ts';

const byCode: Partial<Record<ErrorCode, ContentfulStatusCode>> = {
  workflow_invalid: 400,
  unauthorized: 401,
  forbidden: 403,
  host_refused: 403,
  origin_refused: 403,
  not_found: 404,
  method_not_allowed: 405,
  task_not_found: 404,
  object_not_found: 404,
  upload_not_found: 404,
  backend_unknown: 404,
  key_unknown: 404,
  task_already_ended: 409,
  backend_exists: 409,
  backend_fixed: 409,
  workflows_read_only: 409,
  key_exists: 409,
  body_too_large: 413,
  content_type_unsupported: 415,
  limit_exceeded: 429,
  queue_full: 503,
  unavailable: 503,
  workflow_unavailable: 503,
  spool_full: 507,
  storage_full: 507,
};

const byFault: Record<Fault, ContentfulStatusCode> = {
  client: 400,
  source: 400,
  backend: 502,
  gateway: 500,
};

/** The status of an error where a dialect has no other wish. */
export function statusOf({ code, fault }: GatewayError): ContentfulStatusCode {
  return byCode[code] ?? byFault[fault];
}
