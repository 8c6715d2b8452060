import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Tempo } from '../core/tempo.ts';
import type { ResultService } from '../tasks/result-service.ts';
import type { TaskService } from '../tasks/task-service.ts';
import type { UploadService } from '../tasks/upload-service.ts';
import type { TaskMetrics } from '../telemetry/task-metrics.ts';
import type { WorkflowRegistry } from '../workflows/registry.ts';
import type { WorkflowService } from '../workflows/workflow-service.ts';
import type { PoolControl } from './backends.ts';
import type { PresentError } from './errors.ts';
import type { ObjectReader } from './objects.ts';

/** One outward API over the one core: a folder in `dialects/`, and a line in `dialects/index.ts`. */
export interface Dialect {
  /** Also the mark of its tasks: no other dialect finds them. */
  readonly name: string;
  /** Under which it is mounted whole, whatever others have at the root. */
  readonly prefix: `/${string}`;
  readonly title: string;
  readonly description: string;
  /** Where its `openapi.json`, `openapi.yaml`, `docs` and `redoc` lie. */
  readonly documentsAt: '' | `/${string}`;
  /** Bytes that a body may have whose route says nothing else. It is held in memory. */
  readonly maxBodyBytes: number;
  /** Each says what it is (`defineRoute`). */
  readonly routes: (parts: DialectParts) => OpenAPIHono;
  readonly presentError: PresentError;
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
