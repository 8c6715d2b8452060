import type { HttpBindings } from '@hono/node-server';
import type { Context, MiddlewareHandler } from 'hono';
import { GatewayError } from '../core/errors.ts';
import { policyOf } from './route-policy.ts';

const jsonType = 'application/json';

/**
 * Lets bodies pass whose type their route documents. One without a type is JSON where the route takes that:
 * many a client leaves the header out.
 *
 * @throws GatewayError `content_type_unsupported`.
 */
export const documentedTypes: MiddlewareHandler = async (context, next) => {
  const { mediaTypes = [], file } = policyOf(context) ?? {};
  if (mediaTypes.length > 0 && file !== 'body' && hasBody(context)) {
    const { headers } = context.req.raw;
    const type = headers.get('content-type');
    if (!type && mediaTypes.includes(jsonType)) headers.set('content-type', jsonType);
    else if (!mediaTypes.includes(essenceOf(type))) throw unsupported(type, mediaTypes);
  }
  await next();
};

function hasBody({ req, env }: Context<{ Bindings: Partial<HttpBindings> }>): boolean {
  const headers = env?.incoming?.headers;
  if (!headers) return req.raw.body !== null;
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/** Without its parameters, such as `charset`. */
function essenceOf(type: string | null): string {
  return (type?.split(';')[0] ?? '').trim().toLowerCase();
}

function unsupported(type: string | null, mediaTypes: readonly string[]): GatewayError {
  const taken = mediaTypes.join(' or ');
  const given = type
    ? `Content-Type ${essenceOf(type)} is not taken here`
    : 'Content-Type is missing';
  return new GatewayError('content_type_unsupported', `${given}; send ${taken}`);
}
