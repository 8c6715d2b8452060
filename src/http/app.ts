import type { HttpBindings } from '@hono/node-server';
import { OpenAPIHono } from '@hono/zod-openapi';
import type { Context, MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { except } from 'hono/combine';
import { secureHeaders } from 'hono/secure-headers';
import type { UploadService } from '../tasks/upload-service.ts';
import type { Logger } from '../telemetry/logger.ts';
import { maxWorkflowBytes } from '../workflows/parse.ts';
import type { WorkflowService } from '../workflows/workflow-service.ts';
import { type ApiKey, identify } from './auth.ts';
import { backendRoutes, type PoolControl } from './backends.ts';
import { type TmlsrParts, tmlsrRoutes } from './dialects/tmlsr/routes.ts';
import { bodyTooLarge, onError, onNotFound } from './errors.ts';
import { isForm } from './multipart.ts';
import { type ObjectReader, objectRoutes } from './objects.ts';
import { uploadRoutes } from './uploads.ts';
import { workflowRoutes } from './workflows.ts';

export interface AppParts extends TmlsrParts {
  readonly uploads: UploadService;
  /** Where clients reach us. */
  readonly baseUrl: () => string;
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

const maxBodyMs = 300_000;

/** A link to a result is a secret of its own, and may be opened by whoever was given it. */
const openPaths = ['/', '/health', '/openapi.json', '/objects/*'];

export function createApp(appParts: AppParts): OpenAPIHono {
  const { workflows, objects, apiKeys, baseUrl, version, logger, ...parts } = appParts;
  const app = new OpenAPIHono();
  app.onError(onError(logger));
  app.notFound(onNotFound);
  // Web pages of other origins may show results.
  app.use(secureHeaders({ crossOriginResourcePolicy: false }));
  app.use(except(bringsFile, cutSlowBodies));
  app.use('/workflows/*', limitBody(maxDraftBytes));
  app.use(except(['/workflows/*', bringsFile], limitBody(maxBodyBytes)));
  app.use(except([...openPaths, fillsUpload], identify(apiKeys)));
  app.route('/', tmlsrRoutes(parts));
  app.route('/', uploadRoutes(parts.uploads, baseUrl));
  app.route('/', backendRoutes(parts.pool));
  app.route('/', workflowRoutes(workflows));
  if (objects) app.route('/', objectRoutes(objects));
  app.doc31('/openapi.json', { openapi: '3.1.0', info: { title: 'TMLSR', version } });
  app.get('/', (context) =>
    context.json({ service: 'tmlsr', version, stats: '/monitor/stats', api: '/openapi.json' }),
  );
  return app;
}

/** Files are of any size, and never whole in memory; how fast they have to come is seen to there. */
function bringsFile(context: Context): boolean {
  return fillsUpload(context) || (context.req.path === '/tasks' && isForm(context.req.raw));
}

function fillsUpload({ req }: Context): boolean {
  return req.method === 'PUT' && req.path.startsWith('/uploads/');
}

const cutSlowBodies: MiddlewareHandler<{ Bindings: Partial<HttpBindings> }> = async (
  { env },
  next,
) => {
  const incoming = env?.incoming;
  const cut = setTimeout(() => {
    if (incoming && !incoming.readableEnded) incoming.destroy();
  }, maxBodyMs);
  await next();
  clearTimeout(cut);
};

function limitBody(maxSize: number): MiddlewareHandler {
  return bodyLimit({
    maxSize,
    onError: () => {
      throw bodyTooLarge(maxSize);
    },
  });
}
