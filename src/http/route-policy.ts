import type { Context, MiddlewareHandler } from 'hono';
import { matchedRoutes } from 'hono/route';
import type { RouterRoute } from 'hono/types';
import type { Scope } from '../core/caller.ts';
import { isForm } from './multipart.ts';

/** What a route is, for those who are asked before it: the checks of host and key, and the bound on bodies. */
export type RoutePolicy = Access & PagePolicy & BodyPolicy & QuotaPolicy;

/** A route that is not open says what a key needs for it. */
type Access =
  | { readonly isOpen: true; readonly scope?: undefined; readonly takesSecret?: undefined }
  | {
      readonly scope: Scope;
      readonly isOpen?: undefined;
      /** A secret in the address may stand in place of a key: the route makes sure of one of the two. */
      readonly takesSecret?: boolean;
    };

interface PagePolicy {
  /** Whoever asks where it lies hears no more than that the gateway is there. */
  readonly anyHost?: boolean;
}

export interface BodyPolicy {
  /** The body is a file, or a form brings some: of any size, and never whole in memory. */
  readonly file?: 'body' | 'form';
  /** Bytes that any other body may have; where it is left out, the dialect says. */
  readonly maxBodyBytes?: number;
  /** Of the body, as they are documented. */
  readonly mediaTypes?: readonly string[];
}

/** What quotas are looked at before the body is read. */
interface QuotaPolicy {
  /** What its tenant has more of after it: a task, with the files that come with it, or a file alone. */
  readonly adds?: 'task' | 'file';
}

const policies = new WeakMap<object, RoutePolicy>();

/** Stands before the handlers of a route, and does nothing but be found there. */
export function declare(policy: RoutePolicy): MiddlewareHandler {
  const mark: MiddlewareHandler = async (_context, next) => await next();
  policies.set(mark, policy);
  return mark;
}

/** Of the route that the request goes to, known before it is there; `null` where there is none. */
export function policyOf(context: Context): RoutePolicy | null {
  return firstPolicy(routesOf(context));
}

/** The path of that route as it is written, without what the request has in its place. */
export function pathOfRoute(context: Context): string | null {
  return routesOf(context).at(-1)?.path ?? null;
}

export function isOpen(context: Context): boolean {
  return policyOf(context)?.isOpen ?? false;
}

export function takesSecret(context: Context): boolean {
  return policyOf(context)?.takesSecret ?? false;
}

/** What a key needs for the request; `null` where it goes to no route. */
export function scopeOf(context: Context): Scope | null {
  const routes = routesOf(context);
  const policy = firstPolicy(routes);
  if (policy) return policy.scope ?? null;
  // A route that says nothing is for those who may do everything.
  return routes.some(({ method }) => method !== 'ALL') ? 'admin' : null;
}

/** Whether the request's body is, or holds, a file. */
export function bringsFile({ file }: BodyPolicy, request: Request): boolean {
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

/** What is declared for all methods is not that of a route which has a method of its own. */
function routesOf(context: Context): readonly RouterRoute[] {
  const matched = matchedRoutes(context);
  const own = matched.filter(({ method }) => method !== 'ALL');
  return own.length > 0 ? own : matched;
}

function firstPolicy(routes: readonly { readonly handler: object }[]): RoutePolicy | null {
  for (const { handler } of routes) {
    const policy = policies.get(handler);
    if (policy) return policy;
  }
  return null;
}
