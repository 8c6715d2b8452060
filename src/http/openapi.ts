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

type Definition<Path extends string> = Omit<RouteConfig, 'path' | 'middleware' | 'tags'> & {
  readonly path: Path;
  /** By which generated clients call it: unique among all dialects. */
  readonly operationId: string;
  /** Under which the reference lists it. */
  readonly tag: string;
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

/** A route as it is documented, and what it is: open or of a scope, taking a file, taking more than others. */
export function defineRoute<Path extends string, Route extends Definition<Path>>(
  definition: Route & DeclaresFile<Route>,
): DefinedRoute<Route> {
  const { policy, tag, ...documented }: Definition<Path> = definition;
  const takes = policy.scope && `Takes a key with the scope \`${policy.scope}\`.`;
  const description = [documented.description, takes].filter(Boolean).join('\n\n');
  const route = createRoute({
    ...documented,
    tags: [tag],
    ...(description ? { description } : {}),
    responses: { ...usualRefusals(definition), ...documented.responses },
    middleware: declare({
      ...policy,
      mediaTypes: Object.keys(definition.request?.body?.content ?? {}),
    }),
  });
  return route as typeof route & DefinedRoute<Route>;
}

/** What is answered in front of the route itself. Their bodies are those of its other errors. */
function usualRefusals({
  policy,
  request,
  responses,
}: Definition<string>): RouteConfig['responses'] {
  const error = Object.entries(responses).find(([status]) => Number(status) >= 400)?.[1];
  const body = error && 'content' in error && error.content ? { content: error.content } : {};
  const refusal = (description: string) => ({ description, ...body });
  return {
    ...(request?.body ? { 413: refusal('The body is larger than is allowed.') } : {}),
    ...(request?.body && policy.file !== 'body'
      ? { 415: refusal('The body is of a type that is not taken here.') }
      : {}),
    ...(policy.scope
      ? {
          429: refusal('The tenant has what it may; see `Retry-After`.'),
          503: refusal('The gateway cannot do it at present; see `Retry-After`.'),
        }
      : {}),
    ...(policy.file ? { 507: refusal('There is no room for the file at present.') } : {}),
  };
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

/** A body that a request has to bring, in JSON, with a whole one that is taken as it stands. */
export function jsonBody<T extends z.ZodType>(schema: T, description: string, example: z.input<T>) {
  return { description, required: true, content: { 'application/json': { schema, example } } };
}

/** A body in JSON, as a response's description. */
export function json<T extends z.ZodType>(schema: T, description: string) {
  return { description, content: { 'application/json': { schema } } };
}
