import type { IncomingMessage } from 'node:http';
import { OpenAPIHono } from '@hono/zod-openapi';
import { except } from 'hono/combine';
import { cors } from 'hono/cors';
import { secureHeaders } from 'hono/secure-headers';
import type { SettingValues } from '../config/fields.ts';
import { type Caller, may } from '../core/caller.ts';
import { GatewayError } from '../core/errors.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { TaskObserver } from '../telemetry/task-observer.ts';
import { type Callers, identify, keyIn } from './auth.ts';
import { boundBodies, plainJson } from './bounded-bodies.ts';
import type { Dialect, DialectParts } from './dialect.ts';
import { describeKeys, documentRoutes } from './docs/document-routes.ts';
import { onError, onNotFound } from './errors.ts';
import { whileKeyed } from './keyed-connection.ts';
import { documentedTypes } from './media-types.ts';
import { ownPagesOnly, type RefusePage } from './own-pages.ts';
import { type Doors, withinQuotas } from './quotas.ts';
import { noteRoute, requestIdHeader } from './request-note.ts';
import { declare, declaredPolicy, isOpen } from './route-policy.ts';
import { pathWithoutSlash, redirectSlash } from './trailing-slash.ts';
import type { TakeConnection } from './upgrade.ts';

export interface DialectOptions {
  /** Who may ask. */
  readonly callers: Callers;
  /** Origins whose web pages may ask; `*` for all. */
  readonly corsOrigins: readonly string[];
  /** Which web pages may not. */
  readonly refusePage: RefusePage;
  /** What each request may have; one for all dialects. */
  readonly doors: Doors;
  /** Of all dialects, as they were read. */
  readonly settings: SettingValues;
  readonly logger: Logger;
}

export interface DialectApp {
  readonly routes: OpenAPIHono;
  readonly observer: TaskObserver | null;
  /** Who makes a WebSocket of the request's connection; `null`: the request is one like any other. */
  readonly upgrade: (request: IncomingMessage) => TakeConnection | null;
}

/**
 * A dialect with all that it needs to stand alone: at the root, under its prefix, or at a port of its
 * own. Its paths are the same everywhere.
 */
export function createDialectApp(
  dialect: Dialect,
  parts: DialectParts,
  { callers, corsOrigins, refusePage, doors, settings, logger }: DialectOptions,
): DialectApp {
  const { prefix, presentError } = dialect;
  const { routes, observer = null, upgrades } = dialect.create(parts, settings);
  const app = new OpenAPIHono({
    getPath: (request) => withoutPrefix(pathWithoutSlash(request), prefix),
  });
  app.onError(onError(logger, doors.refusals, presentError));
  app.notFound(onNotFound(presentError));
  app.use(noteRoute(dialect.name));
  // Web pages of other origins may show results. Whether a host is for HTTPS alone is its proxy's to say.
  app.use(secureHeaders({ crossOriginResourcePolicy: false, strictTransportSecurity: false }));
  app.use(ownPagesOnly(refusePage));
  app.use(redirectSlash);
  if (corsOrigins.length > 0) app.use(allowOrigins(corsOrigins));
  app.use(boundBodies(dialect.maxBodyBytes, parts.tempo.bodyDeadlineMs));
  describeKeys(app);
  app.route('/', documentRoutes(app, dialect, parts.version));
  app.use(except(isOpen, identify(callers, doors.wrongKeys)));
  app.use(withinQuotas(doors));
  app.use(documentedTypes);
  app.use(plainJson);
  app.route('/', routes);
  refuseOtherMethods(app);
  return {
    routes: app,
    observer,
    upgrade: (request) => {
      if (!upgrades) return null;
      // Without a key of the scope, or from a strange page, it is refused like any other request, in the dialect's words.
      const { host = '', origin } = request.headers;
      if (refusePage({ host, origin })) return null;
      const key = keyIn((name) => [request.headers[name]].flat()[0]);
      const address = request.socket.remoteAddress ?? '';
      if (key !== undefined && doors.wrongKeys.refusal(address, key)) return null;
      const isLetIn = (who: Caller | null) => who !== null && may(who, upgrades.scope);
      const caller = callers.now(key);
      if (!caller || !isLetIn(caller)) return null;
      const path = withoutPrefix(pathOf(request), prefix);
      const take = upgrades.find({ request, path, caller });
      const isGood = async () => isLetIn(await callers.find(key));
      return take && whileKeyed(take, isGood, parts.tempo.keyLookEveryMs);
    },
  };
}

/** Where a request goes, as it was sent. */
export function pathOf({ url = '' }: IncomingMessage): string {
  return URL.parse(url, 'http://localhost')?.pathname ?? url;
}

/** Whether a path leads to where a dialect lies whole. */
export function isBelow(path: string, prefix: string): boolean {
  return path === prefix || path.startsWith(`${prefix}/`);
}

/** Comes after the routes: what arrives here, none of them has taken (RFC 9110 §15.5.6). */
function refuseOtherMethods(app: OpenAPIHono): void {
  for (const [path, methods] of methodsByPath(app)) {
    // Whoever may look at an address hears what else it takes.
    const policy = declaredPolicy(app, 'GET', path);
    if (policy) app.all(path, declare(policy));
    app.all(path, (context) => {
      context.header('Allow', methods.join(', '));
      throw new GatewayError('method_not_allowed', `Only ${methods.join(', ')} may be asked here`);
    });
  }
}

/** What an API documents: its paths as Hono writes them, and their methods. */
export function methodsByPath({ openAPIRegistry }: OpenAPIHono): ReadonlyMap<string, string[]> {
  const found = new Map<string, string[]>();
  for (const definition of openAPIRegistry.definitions) {
    if (definition.type !== 'route') continue;
    const path = definition.route.path.replaceAll(/\{(\w+)\}/g, ':$1');
    const method = definition.route.method.toUpperCase();
    const methods = method === 'GET' ? [method, 'HEAD'] : [method];
    found.set(path, [...(found.get(path) ?? []), ...methods]);
  }
  return found;
}

function withoutPrefix(path: string, prefix: string): string {
  return isBelow(path, prefix) ? path.slice(prefix.length) || '/' : path;
}

function allowOrigins(origins: readonly string[]) {
  return cors({
    origin: origins.includes('*') ? '*' : [...origins],
    exposeHeaders: [
      ...['Content-Disposition', 'Content-Range', 'ETag'],
      ...['Retry-After', 'RateLimit', 'RateLimit-Policy', requestIdHeader],
    ],
    maxAge: 3_600,
  });
}
