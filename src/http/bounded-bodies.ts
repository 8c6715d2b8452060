import type { HttpBindings } from '@hono/node-server';
import type { Context, MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { bodyTooLarge } from './errors.ts';
import { type BodyPolicy, bringsFile, policyOf } from './route-policy.ts';

/**
 * Keeps what is held in memory small, and does not wait for it for ever; files are seen to where they go.
 * `maxBytes`: of bodies of which their route says nothing.
 */
export function boundBodies(maxBytes: number, deadlineMs: number): MiddlewareHandler {
  return async (context, next) => {
    const policy: BodyPolicy = policyOf(context) ?? {};
    if (bringsFile(policy, context.req.raw)) return await next();
    const cut = cutLater(context, deadlineMs);
    try {
      return await limitBody(policy.maxBodyBytes ?? maxBytes)(context, next);
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
