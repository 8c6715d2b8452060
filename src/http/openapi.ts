import { createRoute, OpenAPIHono, type RouteConfig, z } from '@hono/zod-openapi';
import type { Context, MiddlewareHandler } from 'hono';
import { misfitWords } from '../core/misfit.ts';
import { invalidRequest } from './errors.ts';
import { declare, type RoutePolicy } from './route-policy.ts';

// Where a schema has no words of its own. One that has some for its type gives them to its bounds as well.
z.config({ localeError: misfitWords });

/** An app for routes with schemas: a request that does not fit one is answered with the field. */
export function createRoutes(): OpenAPIHono {
  return new OpenAPIHono({
    defaultHook: (result) => {
      if (!result.success) throw invalidRequest(result.error);
    },
  });
}

type Definition<Path extends string> = Omit<RouteConfig, 'path' | 'middleware'> & {
  readonly path: Path;
  readonly policy: RoutePolicy;
};

/** A body that holds files has to be declared one, or it would be held in memory. */
type DeclaresFile<Route> = Route extends { request: { body: { content: infer Content } } }
  ? Extract<keyof Content, 'multipart/form-data' | 'application/octet-stream'> extends never
    ? unknown
    : { readonly policy: Required<Pick<RoutePolicy, 'file'>> }
  : unknown;

type DefinedRoute<Route> = Omit<Route, 'policy' | 'middleware'> & {
  readonly middleware: MiddlewareHandler;
  getRoutingPath(): string;
};

/** Whatever takes a key may be asked for too often; its body is that of the API's other errors. */
const hadEnough = { 429: { description: 'The tenant has what it may; see `Retry-After`.' } };

/** A route as it is documented, and what it is: open or of a scope, taking a file, taking more than others. */
export function defineRoute<Path extends string, Route extends Definition<Path>>(
  definition: Route & DeclaresFile<Route>,
): DefinedRoute<Route> {
  const { policy, ...documented }: Definition<Path> = definition;
  const takes = policy.scope && `Takes a key with the scope \`${policy.scope}\`.`;
  const description = [documented.description, takes].filter(Boolean).join('\n\n');
  const route = createRoute({
    ...documented,
    ...(description ? { description } : {}),
    ...(policy.scope ? { responses: { ...documented.responses, ...hadEnough } } : {}),
    middleware: declare({
      ...policy,
      mediaTypes: Object.keys(definition.request?.body?.content ?? {}),
    }),
  });
  return route as typeof route & DefinedRoute<Route>;
}

/** A route that reads its files by itself: a validator would hold the whole body. */
export function handleFiles(
  app: OpenAPIHono,
  route: RouteConfig & { getRoutingPath(): string },
  handler: (context: Context, next: () => Promise<void>) => Promise<Response | undefined>,
): void {
  const { middleware = [], ...documented } = route;
  app.openAPIRegistry.registerPath(documented);
  app.on([route.method], [route.getRoutingPath()], ...[middleware].flat(), handler);
}

/** A body in JSON, as a request's or a response's description. */
export function json<T extends z.ZodType>(schema: T, description: string) {
  return { description, content: { 'application/json': { schema } } };
}
