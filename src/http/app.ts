import type { IncomingMessage } from 'node:http';
import { OpenAPIHono } from '@hono/zod-openapi';
import { type Context, Hono } from 'hono';
import type { TaskObserver } from '../telemetry/task-observer.ts';
import type { Dialect, DialectParts } from './dialect.ts';
import {
  createDialectApp,
  type DialectApp,
  type DialectOptions,
  isBelow,
  methodsByPath,
  pathOf,
} from './dialect-app.ts';
import { type Dialects, dialects } from './dialects/index.ts';
import { documentRoutes } from './docs/document-routes.ts';
import { onError } from './errors.ts';
import { ownPagesOnly } from './own-pages.ts';
import { noteRoute } from './request-note.ts';
import { pathWithoutSlash, redirectSlash } from './trailing-slash.ts';
import type { TakeConnection } from './upgrade.ts';

export interface Apps {
  /** All dialects together. */
  readonly root: App;
  /** Each by its name, as it is where it has a port of its own. */
  readonly byDialect: ReadonlyMap<string, App>;
  /** Of all dialects that have one. */
  readonly observers: readonly TaskObserver[];
}

/** What a server serves. */
export interface App {
  readonly fetch: (request: Request, env?: object) => Response | Promise<Response>;
  /** Who makes a WebSocket of the request's connection; `null`: the request is one like any other. */
  readonly upgrade: (request: IncomingMessage) => TakeConnection | null;
}

const description = `A gateway in front of a pool of ComfyUI servers. TMLSR's own API lies at the root; each of the
others is listed under the prefix where it lies whole, and its paths are also served at the root wherever no
other API has the same ones.`;

/**
 * One app for all dialects: the first at the root, every other one under its prefix, and with the
 * paths that nobody else has at the root too, so that old clients need not know of prefixes.
 */
export function createApps(
  parts: DialectParts,
  options: DialectOptions,
  served: Dialects = dialects,
): Apps {
  const apps = new Map(
    served.map((dialect) => [dialect.name, createDialectApp(dialect, parts, options)]),
  );
  const appOf = ({ name }: Dialect) => apps.get(name) as DialectApp;
  return {
    root: rootOf(served, appOf, parts.version, options),
    byDialect: new Map([...apps].map(([name, app]) => [name, standalone(app)])),
    observers: [...apps.values()].flatMap(({ observer }) => observer ?? []),
  };
}

function rootOf(
  served: Dialects,
  appOf: (dialect: Dialect) => DialectApp,
  version: string,
  { refusePage, doors, logger }: Pick<DialectOptions, 'refusePage' | 'doors' | 'logger'>,
): App {
  const [main] = served;
  const root = new Hono({ getPath: pathWithoutSlash });
  root.onError(onError(logger, doors.refusals, main.presentError));
  root.use(noteRoute(null));
  root.use(redirectSlash);
  for (const page of documents) root.use(`/${page}`, ownPagesOnly(refusePage));
  root.route(
    '/',
    documentRoutes(whole(served, appOf), { title: 'TMLSR', description, documentsAt: '' }, version),
  );

  const taken = new Set(methodsByPath(appOf(main).routes).keys());
  for (const dialect of served) {
    const { routes } = appOf(dialect);
    const forward = forwardTo(routes);
    root.all(dialect.prefix, forward);
    root.all(`${dialect.prefix}/*`, forward);
    if (dialect === main) continue;
    if (dialect.documentsAt) {
      for (const page of documents) root.all(`${dialect.documentsAt}/${page}`, forward);
    }
    for (const path of methodsByPath(routes).keys()) {
      if (taken.has(path)) continue;
      taken.add(path);
      root.all(path, forward);
    }
  }
  root.all('*', forwardTo(appOf(main).routes));
  return { fetch: root.fetch, upgrade: upgradeIn(served, appOf) };
}

/** Below its prefix a dialect is asked alone; elsewhere, the first that takes the connection has it. */
function upgradeIn(served: Dialects, appOf: (dialect: Dialect) => DialectApp): App['upgrade'] {
  return (request) => {
    const owner = served.find(({ prefix }) => isBelow(pathOf(request), prefix));
    for (const dialect of owner ? [owner] : served) {
      const take = appOf(dialect).upgrade(request);
      if (take) return take;
    }
    return null;
  };
}

function standalone({ routes, upgrade }: DialectApp): App {
  return { fetch: routes.fetch, upgrade };
}

const documents = ['openapi.json', 'openapi.yaml', 'docs', 'docs/*', 'redoc'];

/** Only to be described. */
function whole([main, ...others]: Dialects, appOf: (dialect: Dialect) => DialectApp): OpenAPIHono {
  const all = new OpenAPIHono();
  all.route('/', appOf(main).routes);
  for (const dialect of others) all.route(dialect.prefix, appOf(dialect).routes);
  return all;
}

/** The request goes on as it is: a dialect leaves its prefix out of account by itself. */
function forwardTo(routes: OpenAPIHono) {
  return (context: Context) => routes.fetch(context.req.raw, context.env);
}
