import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import type { DeclaredSettings, SettingValues } from '../config/fields.ts';
import type { Scope } from '../core/caller.ts';
import type { KeyControl } from '../core/key.ts';
import type { MediaKind } from '../core/media.ts';
import type { Readiness } from '../core/readiness.ts';
import type { Tempo } from '../core/tempo.ts';
import type { PauseService } from '../tasks/pause-service.ts';
import type { ResultService } from '../tasks/result-service.ts';
import type { TaskService } from '../tasks/task-service.ts';
import type { UploadService } from '../tasks/upload-service.ts';
import type { UsageService } from '../tasks/usage-service.ts';
import type { TaskObserver } from '../telemetry/task-observer.ts';
import type { WorkflowRegistry } from '../workflows/registry.ts';
import type { WorkflowService } from '../workflows/workflow-service.ts';
import type { AuditReader } from './audit.ts';
import type { PoolControl } from './backends.ts';
import type { PresentError } from './errors.ts';
import type { LinkBase } from './link-base.ts';
import type { ObjectReader } from './objects.ts';
import type { FindUpgrade } from './upgrade.ts';

/** One outward API over the one core: a folder in `dialects/`, and a line in `dialects/index.ts`. */
export interface Dialect extends DialectDescription {
  readonly settings?: DeclaredSettings;
  /** `settings`: the values of those that it declares, among others. */
  readonly create: (parts: DialectParts, settings: SettingValues) => DialectApi;
}

/** What is known of a dialect before it is made. */
export interface DialectDescription {
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
  readonly presentError: PresentError;
  /** How its clients write the id of a task, where that is no UUID with dashes. */
  readonly clientId?: (taskId: string) => string;
}

/** What a dialect contributes to the gateway. */
export interface DialectApi {
  /** Each says what it is (`defineRoute`). */
  readonly routes: OpenAPIHono;
  readonly observer?: TaskObserver;
  /** Whose connections become WebSockets, and what a key needs for that. */
  readonly upgrades?: { readonly scope: Scope; readonly find: FindUpgrade };
}

/** What dialects are made of: each asks for what it needs, by the type of its `create`. */
export interface DialectParts {
  readonly tasks: TaskService;
  readonly results: ResultService;
  readonly uploads: UploadService;
  readonly registry: WorkflowRegistry;
  readonly workflows: WorkflowService;
  readonly pool: PoolControl;
  readonly audit: AuditReader;
  readonly usage: Pick<UsageService, 'report'>;
  readonly pauses: PauseService;
  readonly keys: KeyControl;
  /** `null` where the store has its own address. */
  readonly objects: ObjectReader | null;
  readonly preview: MakePreview;
  /** Whether a source is a picture or a clip; `null` where that cannot be told soon. */
  readonly kindOf: KindOf;
  /** Whether a request is refused for a field that it does not have; else its answer tells of it. */
  readonly refusesUnknownFields: boolean;
  /** What links begin with in the answer to a request. */
  readonly linkBase: LinkBase;
  /** Whether keys are asked for. */
  readonly isGuarded: () => boolean;
  /** Whether requests are better sent to another gateway, and what this one has. */
  readonly readiness: () => Promise<Readiness>;
  readonly version: string;
  /** Aborts when the gateway is asked to stop: whoever holds a request answers it. */
  readonly stopping: AbortSignal;
  readonly tempo: Tempo['http'];
}

/** @throws the signal's reason. */
export type KindOf = (
  url: string,
  tenant: string,
  signal: AbortSignal,
) => Promise<MediaKind | null>;

/**
 * A picture on our disk as any browser shows it.
 *
 * @throws GatewayError `media_too_large`, `media_corrupt`, `unavailable`; the signal's reason.
 */
export type MakePreview = (
  path: string,
  signal: AbortSignal,
) => Promise<{ readonly bytes: Uint8Array<ArrayBuffer>; readonly contentType: string }>;

/** A dialect with settings of its own, which it is given as their schemas read them. */
export function defineDialect<Schemas extends z.ZodRawShape>({
  create,
  ...dialect
}: DialectDescription & {
  readonly settings: DeclaredSettings<Schemas>;
  readonly create: (parts: DialectParts, settings: z.output<z.ZodObject<Schemas>>) => DialectApi;
}): Dialect {
  return {
    ...dialect,
    // They were read by these schemas, among others.
    create: (parts, settings) => create(parts, settings as z.output<z.ZodObject<Schemas>>),
  };
}
