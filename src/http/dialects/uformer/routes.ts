import type { OpenAPIHono } from '@hono/zod-openapi';
import type { DialectParts } from '../../dialect.ts';
import { createRoutes, defineRoute, json } from '../../openapi.ts';
import { modelRoutes } from './model-routes.ts';
import { resultRoutes } from './result-routes.ts';
import * as schema from './schema.ts';
import { taskRoutes } from './task-routes.ts';

/** The Uformer hub's API. */
export function uformerRoutes(parts: DialectParts): OpenAPIHono {
  const app = createRoutes();
  app.route('/', taskRoutes(parts));
  app.route('/', resultRoutes(parts));
  app.route('/', modelRoutes(parts));
  app.openapi(healthRoute, (context) => context.json({ status: 'ok' as const }, 200));
  return app;
}

const healthRoute = defineRoute({
  method: 'get',
  path: '/health',
  operationId: 'getUformerHealth',
  tag: 'Uformer hub',
  policy: { isOpen: true, anyHost: true },
  summary: 'Whether the gateway runs',
  responses: { 200: json(schema.health, 'It runs.') },
});
