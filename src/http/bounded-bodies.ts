import type { HttpBindings } from '@hono/node-server';
import type { Context, MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { bodyTooLarge } from './errors.ts';

/** Which bodies a dialect expects. */
export interface ExpectedBodies {
  /** Whether the body is, or holds, a file: of any size, and never whole in memory. */
  readonly bringsFile: (context: Context) => boolean;
  /** Bytes that the others may have. */
  readonly maxBodyBytes: (context: Context) => number;
}

/** Keeps what is held in memory small, and does not wait for it for ever; files are seen to where they go. */
export function boundBodies(
  { bringsFile, maxBodyBytes }: ExpectedBodies,
  deadlineMs: number,
): MiddlewareHandler {
  return async (context, next) => {
    if (bringsFile(context)) return await next();
    const cut = cutLater(context, deadlineMs);
    try {
      return await limitBody(maxBodyBytes(context))(context, next);
    } finally {
      clearTimeout(cut);
    }
  };
}

function cutLater(
  { env }: Context<{ Bindings: Partial<HttpBindings> }>,
  deadlineMs: number,
): NodeJS.Timeout {
  const incoming = env?.incoming;
  return setTimeout(() => {
    if (incoming && !incoming.readableEnded) incoming.destroy();
  }, deadlineMs);
}

function limitBody(maxSize: number): MiddlewareHandler {
  return bodyLimit({
    maxSize,
    onError: () => {
      throw bodyTooLarge(maxSize);
    },
  });
}
