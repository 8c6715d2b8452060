import { OpenAPIHono } from '@hono/zod-openapi';
import type { MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { except } from 'hono/combine';
import { secureHeaders } from 'hono/secure-headers';
import type { Logger } from '../telemetry/logger.ts';
import { maxWorkflowBytes } from '../workflows/parse.ts';
import type { WorkflowService } from '../workflows/workflow-service.ts';
import { type ApiKey, identify } from './auth.ts';
import { backendRoutes, type PoolControl } from './backends.ts';
import { type TmlsrParts, tmlsrRoutes } from './dialects/tmlsr/routes.ts';
import { bodyTooLarge, onError, onNotFound } from './errors.ts';
import { type ObjectReader, objectRoutes } from './objects.ts';
import { workflowRoutes } from './workflows.ts';

export interface AppParts extends TmlsrParts {
  readonly pool: PoolControl;
  readonly workflows: WorkflowService;
  /** `null` where the store has its own address. */
  readonly objects: ObjectReader | null;
  /** Who may ask; without any, everybody may. */
  readonly apiKeys: readonly ApiKey[];
  readonly version: string;
  readonly logger: Logger;
}

/** Requests are small JSON; it may be held in memory. A workflow comes with what is said of it. */
const maxBodyBytes = 1024 * 1024;
const maxDraftBytes = maxWorkflowBytes + maxBodyBytes;

/** A link to a result is a secret of its own, and may be opened by whoever was given it. */
const openPaths = ['/', '/health', '/openapi.json', '/objects/*'];

export function createApp(appParts: AppParts): OpenAPIHono {
  const { workflows, objects, apiKeys, version, logger, ...parts } = appParts;
  const app = new OpenAPIHono();
  app.onError(onError(logger));
  app.notFound(onNotFound);
  // Web pages of other origins may show results.
  app.use(secureHeaders({ crossOriginResourcePolicy: false }));
  app.use('/workflows/*', limitBody(maxDraftBytes));
  app.use(except('/workflows/*', limitBody(maxBodyBytes)));
  app.use(except(openPaths, identify(apiKeys)));
  app.route('/', tmlsrRoutes(parts));
  app.route('/', backendRoutes(parts.pool));
  app.route('/', workflowRoutes(workflows));
  if (objects) app.route('/', objectRoutes(objects));
  app.doc31('/openapi.json', { openapi: '3.1.0', info: { title: 'TMLSR', version } });
  app.get('/', (context) =>
    context.json({ service: 'tmlsr', version, stats: '/monitor/stats', api: '/openapi.json' }),
  );
  return app;
}

function limitBody(maxSize: number): MiddlewareHandler {
  return bodyLimit({
    maxSize,
    onError: () => {
      throw bodyTooLarge(maxSize);
    },
  });
}
