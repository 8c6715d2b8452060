import type { MiddlewareHandler } from 'hono';
import { getPath } from 'hono/utils/url';

/** The path to which a request is routed: a slash at its end leads to no other place. */
export function pathWithoutSlash(request: Request): string {
  const path = getPath(request);
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
}

/**
 * Sends whoever looks at an address with a slash at its end to the one without: what pages name is relative
 * to that. Anything else is answered where it was asked, since not every client sends its body again.
 */
export const redirectSlash: MiddlewareHandler = async (context, next) => {
  const { method, url } = context.req.raw;
  const { pathname, search } = new URL(url);
  if (pathname === '/' || !pathname.endsWith('/') || !['GET', 'HEAD'].includes(method)) {
    return await next();
  }
  // Relative, since a proxy may have taken off what stood before it.
  const last = pathname.slice(0, -1).split('/').at(-1);
  return context.redirect(`../${last}${search}`, 307);
};
