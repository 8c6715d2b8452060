import type { OpenAPIHono } from '@hono/zod-openapi';
import { type Context, Hono } from 'hono';
import { stringify } from 'yaml';
import { readAsset } from './assets.ts';
import { redocPage, swaggerPage } from './pages.ts';

/** What an API says of itself. */
export interface Description {
  readonly title: string;
  readonly description: string;
  /** Where its `openapi.json`, `openapi.yaml`, `docs` and `redoc` lie. */
  readonly documentsAt: '' | `/${string}`;
}

/** The two pages load from here only; ReDoc searches in a worker that it makes of text. */
const pagePolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "worker-src 'self' blob:",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** The reference of an API, generated from its routes: OpenAPI, Swagger UI and ReDoc, all from here. */
export function documentRoutes(
  api: OpenAPIHono,
  { title, description, documentsAt }: Description,
  version: string,
): Hono {
  const app = new Hono();
  const documentOf = (context: Context) =>
    api.getOpenAPI31Document({
      openapi: '3.1.0',
      info: { title, description, version, license: { name: 'MIT' } },
      servers: [{ url: mountedAt(context) || '/' }],
      security: [{}, { bearer: [] }, { apiKey: [] }],
    });

  app.get(`${documentsAt}/openapi.json`, (context) => context.json(documentOf(context)));
  app.get(`${documentsAt}/openapi.yaml`, (context) => {
    const text = stringify(documentOf(context), { aliasDuplicateObjects: false });
    return context.body(text, 200, { 'content-type': 'application/yaml; charset=utf-8' });
  });
  app.get(`${documentsAt}/docs`, (context) => page(context, swaggerPage(title)));
  app.get(`${documentsAt}/redoc`, (context) => page(context, redocPage(title)));
  app.get(`${documentsAt}/docs/:asset`, async (context) => {
    const asset = await readAsset(context.req.param('asset'));
    if (!asset) return await context.notFound();
    return context.body(asset.bytes, 200, {
      'content-type': asset.contentType,
      'cache-control': 'public, max-age=3600',
      'x-content-type-options': 'nosniff',
    });
  });
  return app;
}

/** How keys are given, for whoever tries the API from its pages. */
export function describeKeys({ openAPIRegistry }: OpenAPIHono): void {
  openAPIRegistry.registerComponent('securitySchemes', 'bearer', {
    type: 'http',
    scheme: 'bearer',
  });
  openAPIRegistry.registerComponent('securitySchemes', 'apiKey', {
    type: 'apiKey',
    in: 'header',
    name: 'X-API-Key',
  });
}

function page(context: Context, html: string): Response {
  context.header('Content-Security-Policy', pagePolicy);
  return context.html(html) as Response;
}

/** The prefix that stands before the API's own paths where this request came in; mostly none. */
function mountedAt({ req }: Context): string {
  const { pathname } = new URL(req.url);
  return pathname.endsWith(req.path) ? pathname.slice(0, -req.path.length) : '';
}
