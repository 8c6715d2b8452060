import { OpenAPIHono } from '@hono/zod-openapi';
import { type Context, Hono } from 'hono';
import type { Dialect, DialectParts } from './dialect.ts';
import { createDialectApp, type DialectOptions, methodsByPath } from './dialect-app.ts';
import { dialects, mainDialect } from './dialects/index.ts';
import { documentRoutes } from './docs/document-routes.ts';

export interface Apps {
  /** All dialects together. */
  readonly root: App;
  /** Each by its name, as it is where it has a port of its own. */
  readonly byDialect: ReadonlyMap<string, App>;
}

export interface App {
  readonly fetch: (request: Request, env?: object) => Response | Promise<Response>;
}

const description = `A gateway in front of a pool of ComfyUI servers. TMLSR's own API lies at the root; each of the
others is listed under the prefix where it lies whole, and its paths are also served at the root wherever no
other API has the same ones.`;

/**
 * One app for all dialects: the main one at the root, every other one under its prefix, and with the
 * paths that nobody else has at the root too, so that old clients need not know of prefixes.
 */
export function createApps(parts: DialectParts, options: DialectOptions): Apps {
  const byDialect = new Map(
    dialects.map((dialect) => [dialect.name, createDialectApp(dialect, parts, options)]),
  );
  const appOf = ({ name }: Dialect) => byDialect.get(name) as OpenAPIHono;
  const root = new Hono();
  const main = appOf(mainDialect);
  root.route(
    '/',
    documentRoutes(
      whole(dialects, appOf),
      { title: 'TMLSR', description, documentsAt: '' },
      parts.version,
    ),
  );

  const taken = new Set(methodsByPath(main).keys());
  for (const dialect of dialects) {
    const forward = forwardTo(appOf(dialect));
    root.all(dialect.prefix, forward);
    root.all(`${dialect.prefix}/*`, forward);
    if (dialect === mainDialect) continue;
    if (dialect.documentsAt) {
      for (const page of documents) root.all(`${dialect.documentsAt}/${page}`, forward);
    }
    for (const path of methodsByPath(appOf(dialect)).keys()) {
      if (taken.has(path)) continue;
      taken.add(path);
      root.all(path, forward);
    }
  }
  root.all('*', forwardTo(main));
  return { root, byDialect };
}

const documents = ['openapi.json', 'openapi.yaml', 'docs', 'docs/*', 'redoc'];

/** Only to be described. */
function whole(
  dialects: readonly Dialect[],
  appOf: (dialect: Dialect) => OpenAPIHono,
): OpenAPIHono {
  const all = new OpenAPIHono();
  for (const dialect of dialects) {
    all.route(dialect === mainDialect ? '/' : dialect.prefix, appOf(dialect));
  }
  return all;
}

/** The request goes on as it is: a dialect leaves its prefix out of account by itself. */
function forwardTo(app: App) {
  return (context: Context) => app.fetch(context.req.raw, context.env);
}
