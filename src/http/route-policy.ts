import type { Context, HonoRequest, MiddlewareHandler } from 'hono';
import { matchedRoutes } from 'hono/route';
import type { RouterRoute } from 'hono/types';
import { isForm } from './multipart.ts';

/** What a route is, for those who are asked before it: the checks of host and key, and the bound on bodies. */
export interface RoutePolicy {
  /** Whoever asks where it lies hears no more than that the gateway is there. */
  readonly anyHost?: boolean;
  /** Whether a request needs no key. */
  readonly isOpen?: boolean | ((request: HonoRequest) => boolean);
  /** The body is a file, or a form brings some: of any size, and never whole in memory. */
  readonly file?: 'body' | 'form';
  /** Bytes that any other body may have; where it is left out, the dialect says. */
  readonly maxBodyBytes?: number;
}

const policies = new WeakMap<object, RoutePolicy>();

/** Stands before the handlers of a route, and does nothing but be found there. */
export function declare(policy: RoutePolicy): MiddlewareHandler {
  const mark: MiddlewareHandler = async (_context, next) => await next();
  policies.set(mark, policy);
  return mark;
}

/** Of the route that the request goes to, known before it is there. */
export function policyOf(context: Context): RoutePolicy {
  const matched = matchedRoutes(context);
  // What is declared for all methods opens no route that has one of its own and says nothing.
  const own = matched.filter(({ method }) => method !== 'ALL');
  return firstPolicy(own.length > 0 ? own : matched) ?? {};
}

export function isOpen(context: Context): boolean {
  const { isOpen = false } = policyOf(context);
  return typeof isOpen === 'function' ? isOpen(context.req) : isOpen;
}

/** Whether the request's body is, or holds, a file. */
export function bringsFile({ file }: RoutePolicy, request: Request): boolean {
  return file === 'body' || (file === 'form' && isForm(request));
}

/** What the route of this method declares; `null` where it declares nothing. */
export function declaredPolicy(
  { routes }: { readonly routes: readonly RouterRoute[] },
  method: string,
  path: string,
): RoutePolicy | null {
  return firstPolicy(routes.filter((route) => route.method === method && route.path === path));
}

function firstPolicy(routes: readonly { readonly handler: object }[]): RoutePolicy | null {
  for (const { handler } of routes) {
    const policy = policies.get(handler);
    if (policy) return policy;
  }
  return null;
}
