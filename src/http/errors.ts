import type { HttpBindings } from '@hono/node-server';
import { z } from '@hono/zod-openapi';
import type { Context, ErrorHandler, NotFoundHandler } from 'hono';
import { HTTPException } from 'hono/http-exception';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { cutText } from '../core/cut-text.ts';
import { errorMeanings } from '../core/error-meanings.ts';
import {
  type ErrorCode,
  errorCodes,
  GatewayError,
  invalidField,
  toGatewayError,
} from '../core/errors.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { RefusalLog } from '../telemetry/refusal-log.ts';
import { logRefusal, tellQuota } from './quotas.ts';
import { brokenOff } from './request-body.ts';
import { noteError, requestIdOf } from './request-note.ts';
import { pathOfRoute } from './route-policy.ts';
import { statusOf } from './status.ts';

/** For people who read the reference, each code with its sentence. */
export const errorCodeSchema = z.enum(errorCodes).openapi('ErrorCode', {
  description: errorCodes.map((code) => `- \`${code}\`: ${errorMeanings[code]}`).join('\n'),
});

/** The body of every error that a dialect does not shape itself. */
export const errorSchema = z
  .object({
    status: z.literal('error'),
    code: errorCodeSchema,
    message: z.string(),
    detail: z.string().openapi({ description: 'The message again, as old clients read it.' }),
    field: z
      .string()
      .optional()
      .openapi({ description: 'The field of the request that is wrong.' }),
  })
  .openapi('Error');

export interface ErrorAnswer {
  readonly status: ContentfulStatusCode;
  readonly body: Readonly<Record<string, unknown>>;
}

/** How a dialect tells an error. */
export type PresentError = (error: GatewayError) => ErrorAnswer;

export function presentError(error: GatewayError): ErrorAnswer {
  const { code, message, field } = error;
  const body: z.infer<typeof errorSchema> = {
    status: 'error',
    code,
    message,
    detail: message,
    ...(field ? { field } : {}),
  };
  return { status: statusOf(error), body };
}

/** What was thrown becomes a code and a sentence; what is ours to mend goes to the log whole. */
export function onError(logger: Logger, refusals: RefusalLog, present: PresentError): ErrorHandler {
  return (thrown, context) => {
    const isLeft = isGone(context, thrown) || isAbortOf(context, thrown);
    const error = toGatewayError(isLeft ? brokenOff(thrown) : translateHttpException(thrown));
    noteError(context, error.code);
    const { status, body } = present(error);
    if (refused.has(error.code)) logRefusal(context, error, refusals);
    else if (status >= 500) logFailure(context, thrown, error, logger);
    if (error.quota) tellQuota(context, error.quota);
    const retryAfterS = error.retryAfterS ?? (status === 503 ? 2 : null);
    if (retryAfterS !== null) context.header('Retry-After', String(retryAfterS));
    // The rest of the body is not read: the connection is of no more use.
    if (!isRead(context)) context.header('Connection', 'close');
    return context.json(body, status);
  };
}

/** Whoever has had enough, or is not let in, may ask as often as it likes. */
const refused: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'limit_exceeded',
  'queue_full',
  'unauthorized',
  'host_refused',
  'origin_refused',
]);

/** What we say ourselves needs no stack; what we did not expect does. */
function logFailure(context: Context, thrown: unknown, error: GatewayError, logger: Logger): void {
  const { code, message, cause } = error;
  // What is in the address may be a secret.
  const told = { request: requestIdOf(context), path: pathOfRoute(context), code };
  if (code === 'internal' || cause !== undefined) {
    logger.error({ ...told, err: thrown }, 'request.failed');
  } else {
    logger.warn({ ...told, reason: message }, 'request.failed');
  }
}

export function onNotFound(present: PresentError): NotFoundHandler {
  return (context) => {
    const error = new GatewayError('not_found', 'There is nothing at this address');
    noteError(context, error.code);
    const { status, body } = present(error);
    return context.json(body, status);
  };
}

/** Whether the client left before its request had come whole. */
function isGone({ env }: Context<{ Bindings: Partial<HttpBindings> }>, thrown: unknown): boolean {
  return thrown !== null && thrown === env?.incoming?.errored;
}

/** Whether the work ended because the client left. */
function isAbortOf(context: Context, thrown: unknown): boolean {
  if (!(thrown instanceof Error) || thrown.name !== 'AbortError') return false;
  return context.req.raw.signal.aborted;
}

function isRead({ env }: Context<{ Bindings: Partial<HttpBindings> }>): boolean {
  return env?.incoming?.complete ?? true;
}

/** Hono's own: a body that is not JSON. */
function translateHttpException(thrown: unknown): unknown {
  if (!(thrown instanceof HTTPException)) return thrown;
  return new GatewayError('invalid_request', 'The body is not JSON', { cause: thrown });
}

export function bodyTooLarge(maxBytes: number): GatewayError {
  const megabytes = Math.round(maxBytes / 1024 ** 2);
  return new GatewayError('body_too_large', `The body is larger than ${megabytes} MB`);
}

/** Names of fields come from clients, too. */
const maxFieldLength = 300;

/** The first problem that a schema found, with the field as the client wrote it. */
export function invalidRequest(error: z.ZodError): GatewayError {
  const [issue] = error.issues;
  const field = cutText(issue?.path.map(String).join('.') ?? '', maxFieldLength);
  const reason = issue?.message ?? 'is not what it should be';
  return field
    ? invalidField(field, reason)
    : new GatewayError('invalid_request', `The body ${reason}`);
}
