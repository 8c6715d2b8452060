import type { HttpBindings } from '@hono/node-server';
import type { Context, MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { GatewayError } from '../core/errors.ts';
import { deepestJson, isTooDeep } from '../core/json-depth.ts';
import { hasProtoKey } from '../core/json-names.ts';
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

/**
 * Keeps JSON flat enough for all who read it, and without names that they would lose. It comes after the check of the key, because it holds the body.
 *
 * @throws GatewayError `invalid_request`.
 */
export const plainJson: MiddlewareHandler = async (context, next) => {
  const { raw } = context.req;
  if (hasJson(raw) && !bringsFile(policyOf(context) ?? {}, raw)) {
    // One that broke off is refused by whoever reads it next.
    const body = await context.req.text().catch(() => '');
    if (isTooDeep(body)) {
      const message = `The body is nested too deeply: ${deepestJson} levels are the most`;
      throw new GatewayError('invalid_request', message);
    }
    if (hasProtoKey(body)) {
      throw new GatewayError('invalid_request', 'The body has a key named "__proto__"');
    }
  }
  await next();
};

function hasJson({ method, headers }: Request): boolean {
  if (method === 'GET' || method === 'HEAD') return false;
  return /^application\/([\w.-]+\+)?json\b/i.test(headers.get('content-type') ?? '');
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
