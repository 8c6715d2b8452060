import type { OpenAPIHono } from '@hono/zod-openapi';
import { auditRoutes } from '../../audit.ts';
import { backendRoutes } from '../../backends.ts';
import { demandRoutes } from '../../demand.ts';
import type { Dialect, DialectParts } from '../../dialect.ts';
import { presentError } from '../../errors.ts';
import { keyRoutes } from '../../keys.ts';
import { objectRoutes } from '../../objects.ts';
import { createRoutes } from '../../openapi.ts';
import { pauseRoutes } from '../../pauses.ts';
import { uploadRoutes } from '../../uploads.ts';
import { usageRoutes } from '../../usage.ts';
import { workflowRoutes } from '../../workflows.ts';
import { dialect, presentTaskId } from './parse.ts';
import { tmlsrRoutes } from './routes.ts';

/** TMLSR's own API, and what its operators need. */
export const tmlsr: Dialect = {
  name: dialect,
  prefix: '/tmlsr',
  title: 'TMLSR',
  description: 'Tasks, uploads, workflows and the pool of ComfyUI servers.',
  documentsAt: '',
  // Requests are small JSON.
  maxBodyBytes: 1024 * 1024,
  presentError,
  clientId: presentTaskId,
  create: (parts) => ({ routes: routesOf(parts) }),
};

function routesOf(parts: DialectParts): OpenAPIHono {
  const app = createRoutes();
  app.route('/', tmlsrRoutes(parts));
  app.route(
    '/',
    uploadRoutes(parts.uploads, parts.linkBase, parts.refusesUnknownFields, parts.tempo),
  );
  app.route('/', backendRoutes(parts.pool));
  app.route('/', demandRoutes(parts.tasks));
  app.route('/', auditRoutes(parts.audit));
  app.route('/', usageRoutes(parts.usage));
  app.route('/', pauseRoutes(parts.pauses));
  app.route('/', keyRoutes(parts.keys));
  app.route('/', workflowRoutes(parts.workflows));
  app.route('/', objectRoutes(parts.objects));
  return app;
}
