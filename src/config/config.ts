import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { type BackendEntry, parseBackendEntry } from '../comfyui/address.ts';
import type { Timeouts } from '../core/workflow.ts';
import { parseSourceAllow, type SourceAllow } from '../media/source-policy.ts';
import type { Env } from './env.ts';

export interface Config {
  readonly host: string;
  /** 0 takes any free one. */
  readonly port: number;
  /** The base of the links that are given out; `null`: where the gateway listens. */
  readonly publicUrl: string | null;
  /** Who may ask; none: everybody. */
  readonly apiKeys: readonly ApiKeyConfig[];
  readonly databaseUrl: string | null;
  readonly dataDir: string;
  readonly workflowsDir: string;
  /** `null`: the emulator. */
  readonly backends: readonly BackendEntry[] | null;
  readonly maxAttempts: number;
  /** For workflows that have none of their own. */
  readonly timeouts: Required<Timeouts>;
  /** How long a line of tasks may stand still for the sake of models that are loaded, milliseconds. */
  /** Whether tasks wait where no backend can run them, unless they say otherwise. */
  readonly queueWhenUnavailable: boolean;
  readonly warmPatienceMs: number;
  /** What is being uploaded when the gateway is asked to stop has so long, milliseconds. */
  readonly shutdownGraceMs: number;
  readonly transfers: TransferLimits;
  readonly storage: { readonly driver: 'disk' } | ({ readonly driver: 'oss' } & OssConfig);
  readonly sourceAllow: SourceAllow;
  readonly maxSourceBytes: number;
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
}

export interface ApiKeyConfig {
  /** Whose tasks they are that come with it. */
  readonly name: string;
  readonly key: string;
  readonly isOperator: boolean;
}

export interface TransferLimits {
  /** How many at once. */
  readonly downloads: number;
  readonly uploads: number;
  /** Bytes of sources on disk from which on no further download begins. */
  readonly spoolBytes: number;
}

export interface OssConfig {
  readonly region: string;
  readonly endpoint: string | null;
  /** The endpoint is a domain of the bucket's own. */
  readonly cname: boolean;
  readonly bucket: string;
  readonly accessKeyId: string;
  readonly accessKeySecret: string;
  readonly stsToken: string | null;
  readonly prefix: string;
  readonly publicUrl: string | null;
}

/** Everything that is wrong with the settings, in one message. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';

  constructor(problems: readonly string[]) {
    super(`The settings are wrong:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
  }
}

const httpUrl = z
  .url({ protocol: /^https?$/, error: 'must be an http:// or https:// URL' })
  .transform((url) => url.replace(/\/+$/, ''));

/** Every setting with its default. `docs/configuration.md` and `.env.example` list the same. */
const settings = z.object({
  HOST: z.string().default('127.0.0.1'),
  PORT: wholeNumber(0, 65_535).default(6008),
  PUBLIC_URL: httpUrl.optional(),
  API_KEYS: z.string().default('').transform(parsed(parseKeys)),
  OPERATOR_KEYS: z.string().default('').transform(parsed(parseKeys)),
  DATABASE_URL: z
    .url({ protocol: /^postgres(ql)?$/, error: 'must be a postgres:// URL' })
    .optional(),
  DATA_DIR: z.string().default('./data'),
  WORKFLOWS_DIR: z.string().optional(),
  COMFYUI_BACKENDS: z.string().transform(parsed(parseBackends)).optional(),
  MAX_ATTEMPTS: wholeNumber(1, 100).default(3),
  QUEUE_TIMEOUT: seconds().default(24 * 3_600),
  RUN_TIMEOUT: seconds().default(3_600),
  QUEUE_WHEN_UNAVAILABLE: z.stringbool({ error: 'must be true or false' }).default(false),
  WARM_PATIENCE: seconds().default(30),
  SHUTDOWN_GRACE: seconds().default(10),
  MAX_DOWNLOADS: wholeNumber(1, 1_000).default(8),
  MAX_UPLOADS: wholeNumber(1, 1_000).default(4),
  MAX_SPOOL_BYTES: wholeNumber(1, Number.MAX_SAFE_INTEGER).default(16 * 1024 ** 3), // 16 GiB
  STORAGE: z.enum(['disk', 'oss'], { error: 'must be disk or oss' }).default('disk'),
  OSS_REGION: z.string().optional(),
  OSS_ENDPOINT: httpUrl.optional(),
  OSS_CNAME: z.stringbool({ error: 'must be true or false' }).default(false),
  OSS_BUCKET: z.string().optional(),
  OSS_ACCESS_KEY_ID: z.string().optional(),
  OSS_ACCESS_KEY_SECRET: z.string().optional(),
  OSS_STS_TOKEN: z.string().optional(),
  OSS_PREFIX: z
    .string()
    .regex(/^([^/]+\/)*$/, 'must be empty or end with / and not begin with one')
    .default('outputs/'),
  OSS_PUBLIC_URL: httpUrl.optional(),
  SOURCE_ALLOW: z.string().default('').transform(parsed(parseSourceAllow)),
  MAX_SOURCE_BYTES: wholeNumber(1, Number.MAX_SAFE_INTEGER).default(4 * 1024 ** 3), // 4 GiB
  LOG_LEVEL: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
      error: 'must be trace, debug, info, warn, error, fatal or silent',
    })
    .default('info'),
});

export const settingNames: readonly string[] = Object.keys(settings.shape);

/** Prefixes that only our own settings have a reason to bear. */
const ours = /^(COMFYUI_|SOURCE_|MAX_SOURCE_|OSS_|WORKFLOWS_)/;

/** @throws ConfigError naming every variable that is wrong. */
export function readConfig(env: Env): Config {
  // An empty variable is one that a compose file passed on unset.
  const given = Object.entries(env).filter(([, value]) => value !== undefined && value !== '');
  const { data, error } = settings.safeParse(Object.fromEntries(given));
  const problems = error
    ? error.issues.map(({ path, message }) => `${String(path[0])} ${message}`)
    : [];
  const variables = Object.fromEntries(given) as Record<string, string>;
  problems.push(...missingForOss(variables));
  if (!data || problems.length > 0) throw new ConfigError(problems);
  return {
    host: data.HOST,
    port: data.PORT,
    publicUrl: data.PUBLIC_URL ?? null,
    apiKeys: [
      ...data.API_KEYS.map((key) => ({ ...key, isOperator: false })),
      ...data.OPERATOR_KEYS.map((key) => ({ ...key, isOperator: true })),
    ],
    databaseUrl: data.DATABASE_URL ?? null,
    dataDir: resolve(data.DATA_DIR),
    workflowsDir: data.WORKFLOWS_DIR ? resolve(data.WORKFLOWS_DIR) : shippedWorkflows(),
    backends: data.COMFYUI_BACKENDS ?? null,
    maxAttempts: data.MAX_ATTEMPTS,
    timeouts: {
      queueMs: orNone(data.QUEUE_TIMEOUT * 1_000),
      runMs: orNone(data.RUN_TIMEOUT * 1_000),
    },
    queueWhenUnavailable: data.QUEUE_WHEN_UNAVAILABLE,
    warmPatienceMs: data.WARM_PATIENCE * 1_000,
    shutdownGraceMs: data.SHUTDOWN_GRACE * 1_000,
    transfers: {
      downloads: data.MAX_DOWNLOADS,
      uploads: data.MAX_UPLOADS,
      spoolBytes: data.MAX_SPOOL_BYTES,
    },
    storage:
      data.STORAGE === 'disk'
        ? { driver: 'disk' }
        : {
            driver: 'oss',
            region: data.OSS_REGION as string,
            endpoint: data.OSS_ENDPOINT ?? null,
            cname: data.OSS_CNAME,
            bucket: data.OSS_BUCKET as string,
            accessKeyId: data.OSS_ACCESS_KEY_ID as string,
            accessKeySecret: data.OSS_ACCESS_KEY_SECRET as string,
            stsToken: data.OSS_STS_TOKEN ?? null,
            prefix: data.OSS_PREFIX,
            publicUrl: data.OSS_PUBLIC_URL ?? null,
          },
    sourceAllow: data.SOURCE_ALLOW,
    maxSourceBytes: data.MAX_SOURCE_BYTES,
    logLevel: data.LOG_LEVEL,
  };
}

/** Variables that look like a misspelt one of ours. */
export function unknownSettings(env: Env): string[] {
  return Object.keys(env).filter((name) => ours.test(name) && !settingNames.includes(name));
}

function missingForOss(env: Env): string[] {
  if (env.STORAGE !== 'oss') return [];
  return ['OSS_REGION', 'OSS_BUCKET', 'OSS_ACCESS_KEY_ID', 'OSS_ACCESS_KEY_SECRET']
    .filter((name) => !env[name])
    .map((name) => `${name} must be set when STORAGE is oss`);
}

/** `./workflows` of the working directory is this folder when the gateway is started from its own. */
function shippedWorkflows(): string {
  return fileURLToPath(new URL('../../workflows', import.meta.url));
}

function wholeNumber(least: number, most: number) {
  const error = `must be a whole number from ${least} to ${most}`;
  return z.coerce.number({ error }).int({ error }).min(least, { error }).max(most, { error });
}

/** Whole seconds or parts of them. */
function seconds() {
  const error = 'must be a number of seconds, at least 0';
  return z.coerce.number({ error }).min(0, { error }).max(10_000_000, { error });
}

/** 0 stands for no limit. */
function orNone(ms: number): number | null {
  return ms === 0 ? null : ms;
}

/** `name:key,name:key`; a key may occur in no message. */
function parseKeys(text: string): { name: string; key: string }[] {
  return entries(text).map((entry, index) => {
    const [, name, key] = /^([A-Za-z0-9][\w.-]{0,63}):(\S{16,256})$/.exec(entry) ?? [];
    if (name && key) return { name, key };
    throw new Error(`entry ${index + 1} is not name:key with a key of at least 16 characters`);
  });
}

function entries(text: string): string[] {
  return text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}

/** `none` stands for a pool that is filled at run time. */
function parseBackends(text: string): BackendEntry[] {
  if (text.trim() === 'none') return [];
  return entries(text).map((entry, index) => {
    try {
      return parseBackendEntry(entry);
    } catch (error) {
      throw new Error(`entry ${index + 1}: ${(error as Error).message}`);
    }
  });
}

/** A parser that throws, as a step of a schema. */
function parsed<T>(parse: (text: string) => T) {
  return (text: string, context: z.RefinementCtx): T => {
    try {
      return parse(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message });
      return z.NEVER;
    }
  };
}

/** Where each part keeps its files. */
export function dataFolders(dataDir: string) {
  return {
    database: join(dataDir, 'db'),
    objects: join(dataDir, 'objects'),
    spool: join(dataDir, 'spool'),
  } as const;
}
