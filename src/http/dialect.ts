import { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { except } from 'hono/combine';
import { cors } from 'hono/cors';
import { secureHeaders } from 'hono/secure-headers';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { getPath } from 'hono/utils/url';
import { GatewayError } from '../core/errors.ts';
import type { Tempo } from '../core/tempo.ts';
import type { ResultService } from '../tasks/result-service.ts';
import type { TaskService } from '../tasks/task-service.ts';
import type { UploadService } from '../tasks/upload-service.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { TaskMetrics } from '../telemetry/task-metrics.ts';
import type { WorkflowRegistry } from '../workflows/registry.ts';
import type { WorkflowService } from '../workflows/workflow-service.ts';
import { type ApiKey, identify } from './auth.ts';
import type { PoolControl } from './backends.ts';
import { boundBodies, type ExpectedBodies } from './bounded-bodies.ts';
import { describeKeys, documentRoutes } from './docs/document-routes.ts';
import { onError, onNotFound } from './errors.ts';
import type { ObjectReader } from './objects.ts';

/** One outward API over the one core: a folder in `dialects/`, and a line in `dialects/index.ts`. */
export interface Dialect extends ExpectedBodies {
  /** Also the mark of its tasks: no other dialect finds them. */
  readonly name: string;
  /** Under which it is mounted whole, whatever others have at the root. */
  readonly prefix: `/${string}`;
  readonly title: string;
  readonly description: string;
  /** Where its `openapi.json`, `openapi.yaml`, `docs` and `redoc` lie. */
  readonly documentsAt: '' | `/${string}`;
  /** Whether the request needs no key. Documents never do. */
  readonly isOpen: (context: Context) => boolean;
  readonly routes: (parts: DialectParts) => OpenAPIHono;
  readonly presentError: (error: GatewayError) => ErrorAnswer;
}

export interface ErrorAnswer {
  readonly status: ContentfulStatusCode;
  readonly body: Readonly<Record<string, unknown>>;
}

/** What dialects are made of. */
export interface DialectParts {
  readonly tasks: TaskService;
  readonly results: ResultService;
  readonly uploads: UploadService;
  readonly registry: WorkflowRegistry;
  readonly workflows: WorkflowService;
  readonly pool: PoolControl;
  /** `null` where the store has its own address. */
  readonly objects: ObjectReader | null;
  readonly preview: MakePreview;
  readonly taskMetrics: TaskMetrics;
  readonly taskManager: TaskManagerSettings;
  /** Where clients reach us. */
  readonly baseUrl: () => string;
  /** Whether keys are asked for. */
  readonly isGuarded: boolean;
  readonly version: string;
  /** Aborts when the gateway is asked to stop: whoever holds a request answers it. */
  readonly stopping: AbortSignal;
  readonly tempo: Tempo['http'];
}

/** What an operator settles for the task manager's clients. */
export interface TaskManagerSettings {
  /** Workflows, by the names of tasks under which they are asked for. */
  readonly taskNames: ReadonlyMap<string, string>;
  /** How long a task may wait before it is begun; `null` for ever. */
  readonly queueTimeoutMs: number | null;
  /** How long a request is held that waits for the end of its task. */
  readonly syncTimeoutMs: number;
}

/**
 * A picture on our disk as any browser shows it.
 *
 * @throws GatewayError `media_too_large`, `media_corrupt`, `unavailable`; the signal's reason.
 */
export type MakePreview = (
  path: string,
  signal: AbortSignal,
) => Promise<{ readonly bytes: Uint8Array<ArrayBuffer>; readonly contentType: string }>;

export interface DialectOptions {
  /** Who may ask; without any, everybody may. */
  readonly apiKeys: readonly ApiKey[];
  /** Origins whose web pages may ask; `*` for all. */
  readonly corsOrigins: readonly string[];
  readonly logger: Logger;
}

/**
 * A dialect with all that it needs to stand alone: at the root, under its prefix, or at a port of its
 * own. Its paths are the same everywhere.
 */
export function createDialectApp(
  dialect: Dialect,
  parts: DialectParts,
  { apiKeys, corsOrigins, logger }: DialectOptions,
): OpenAPIHono {
  const app = new OpenAPIHono({ getPath: (request) => withoutPrefix(request, dialect.prefix) });
  app.onError(onError(logger, dialect.presentError));
  app.notFound(onNotFound(dialect.presentError));
  // Web pages of other origins may show results.
  app.use(secureHeaders({ crossOriginResourcePolicy: false }));
  if (corsOrigins.length > 0) app.use(allowOrigins(corsOrigins));
  app.use(boundBodies(dialect, parts.tempo.bodyDeadlineMs));
  describeKeys(app);
  app.route('/', documentRoutes(app, dialect, parts.version));
  app.use(except(dialect.isOpen, identify(apiKeys)));
  app.route('/', dialect.routes(parts));
  refuseOtherMethods(app);
  return app;
}

/** Comes after the routes: what arrives here, none of them has taken (RFC 9110 §15.5.6). */
function refuseOtherMethods(app: OpenAPIHono): void {
  for (const [path, methods] of methodsByPath(app)) {
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

function withoutPrefix(request: Request, prefix: string): string {
  const path = getPath(request);
  return path === prefix || path.startsWith(`${prefix}/`) ? path.slice(prefix.length) || '/' : path;
}

function allowOrigins(origins: readonly string[]) {
  return cors({
    origin: origins.includes('*') ? '*' : [...origins],
    exposeHeaders: ['Content-Disposition', 'Content-Range', 'ETag', 'Retry-After'],
    maxAge: 3_600,
  });
}
