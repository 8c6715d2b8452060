import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { HttpBindings } from '@hono/node-server';
import type { Context, MiddlewareHandler } from 'hono';
import type { ErrorCode } from '../core/errors.ts';
import type { RequestLog } from '../telemetry/request-log.ts';
import { callerIfAny } from './auth.ts';
import { pathOfRoute } from './route-policy.ts';

/** What is known of a request, for its line in the log. */
interface RequestNote {
  readonly id: string;
  path: string | null;
  dialect: string | null;
  tenant: string;
  code: ErrorCode | null;
  isRefused: boolean;
}

const notes = new WeakMap<IncomingMessage, RequestNote>();

export const requestIdHeader = 'X-Request-Id';

/** Longer ones, and those with blanks or quotes, are no ids. */
const saneId = /^[\w.:+/=-]{1,100}$/;
/** What is asked every few seconds, by machines. */
const probes = /\/(health|ready|metrics)$/;

/** Gives the request its id, tells it in the answer, and logs the request when that has ended. */
export function noteRequest(
  incoming: IncomingMessage,
  response: ServerResponse,
  log: RequestLog,
): void {
  const since = performance.now();
  const note = noteFor(incoming);
  response.setHeader(requestIdHeader, note.id);
  response.once('close', () => {
    const { id, path, dialect, tenant, code, isRefused } = note;
    log.answered(
      {
        request: id,
        method: incoming.method ?? '',
        path,
        ...(dialect === null ? {} : { dialect }),
        ...(tenant === '' ? {} : { tenant }),
        status: response.statusCode,
        ...(code === null ? {} : { code }),
        ms: Math.round(performance.now() - since),
        ...(response.writableFinished ? {} : { cut: true }),
      },
      isRefused || probes.test(path ?? ''),
    );
  });
}

/** A connection that becomes a WebSocket has no answer to wait for. `path`: of one that was taken. */
export function noteUpgrade(incoming: IncomingMessage, path: string, log: RequestLog): void {
  const { id } = noteFor(incoming);
  log.answered({ request: id, method: 'GET', path, status: 101, ms: 0 }, false);
}

function noteFor(incoming: IncomingMessage): RequestNote {
  const given = incoming.headers[requestIdHeader.toLowerCase()];
  const id = typeof given === 'string' && saneId.test(given) ? given : randomUUID();
  const note = { id, path: null, dialect: null, tenant: '', code: null, isRefused: false };
  notes.set(incoming, note);
  return note;
}

/** Stands before the routes of a dialect, or of the root: what they were asked is noted. */
export function noteRoute(dialect: string | null): MiddlewareHandler {
  return async (context, next) => {
    await next();
    const note = noteOf(context);
    // A dialect knows more of it than the root, which comes after it.
    if (!note || note.path !== null) return;
    note.path = pathIn(context);
    note.dialect = dialect;
    note.tenant = callerIfAny(context)?.tenant ?? '';
  };
}

/** The request is answered with an error. */
export function noteError(context: Context, code: ErrorCode): void {
  const note = noteOf(context);
  if (note) note.code = code;
}

/** The request is told of as a refusal, however often it comes. */
export function noteRefusal(context: Context): void {
  const note = noteOf(context);
  if (note) note.isRefused = true;
}

export function requestIdOf(context: Context): string | null {
  return noteOf(context)?.id ?? null;
}

function noteOf({ env }: Context<{ Bindings: Partial<HttpBindings> }>): RequestNote | null {
  return (env?.incoming && notes.get(env.incoming)) ?? null;
}

/** Ids as clients have them: a UUID with its dashes or without, and the upscale service's number. */
const taskId = /^([0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}|\d{19})$/i;

/** As the route is written: what stands in place of a parameter may be a secret, but for the id of a task. */
function pathIn(context: Context): string | null {
  const given = context.req.param() as Readonly<Record<string, string>>;
  return (
    pathOfRoute(context)?.replace(/:(task_id|job_id)\b/, (written, name) =>
      taskId.test(given[name] ?? '') ? (given[name] ?? written) : written,
    ) ?? null
  );
}
