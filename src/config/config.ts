import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import {
  type BackendEntry,
  parseBackendAddress,
  parseBackendEntry,
  parseInputDir,
} from '../comfyui/address.ts';
import { clientScopes, type Scope } from '../core/caller.ts';
import { generousLimits, type MediaLimits } from '../core/media-limits.ts';
import { misfitWords } from '../core/misfit.ts';
import type { Quotas } from '../core/quota.ts';
import type { Timeouts } from '../core/workflow.ts';
import { parseDatabaseAddress } from '../db/address.ts';
import { parseSourceAllow, type SourceAllow } from '../media/source-policy.ts';
import {
  missingForStorage,
  type StorageConfig,
  storageConfig,
  storagePrefixes,
  storageVariables,
} from '../storage/drivers.ts';
import type { Env } from './env.ts';
import {
  type DeclaredSettings,
  entries,
  httpUrl,
  orNone,
  parsed,
  type SettingValues,
  seconds,
  wholeNumber,
  yesOrNo,
} from './fields.ts';
import { secretFileNames, withSecretFiles } from './secret-files.ts';

export interface Config {
  readonly host: string;
  /** 0 takes any free one. */
  readonly port: number;
  /** The base of the links that are given out; `null`: the host by which a client asks. */
  readonly publicUrl: string | null;
  /** Who may ask, beside the keys of the database. Without any key, everybody may. */
  readonly apiKeys: readonly ApiKeyConfig[];
  /** Hosts, beside loopback and that of `publicUrl`, by which it may be asked where it asks for no key. */
  readonly allowedHosts: readonly string[];
  /** Whether everybody in the network may use it who reaches it. */
  readonly allowAnonymous: boolean;
  /** Origins whose web pages may ask; `*` for all. */
  readonly corsOrigins: readonly string[];
  /** Ports of their own, by dialect. */
  readonly dialectPorts: ReadonlyMap<string, number>;
  readonly databaseUrl: string | null;
  /** Connections to Postgres for queries, at most. */
  readonly databasePoolSize: number;
  readonly dataDir: string;
  readonly workflowsDir: string;
  /** `null`: the emulator. */
  readonly backends: readonly BackendEntry[] | null;
  /** By a server's address, its `input` folder as it is here. */
  readonly inputDirs: ReadonlyMap<string, string>;
  readonly quotas: Quotas;
  readonly maxAttempts: number;
  /** For workflows that have none of their own. */
  readonly timeouts: Required<Timeouts>;
  /** Whether tasks wait where no backend can run them, unless they say otherwise. */
  readonly queueWhenUnavailable: boolean;
  /** What becomes of fields that `POST /tasks` and `POST /uploads` do not have. */
  readonly unknownFields: 'tell' | 'refuse';
  /** How long a line of tasks may stand still for the sake of models that are loaded, milliseconds. */
  readonly warmPatienceMs: number;
  /** What is being uploaded when the gateway is asked to stop has so long, milliseconds. */
  readonly shutdownGraceMs: number;
  readonly transfers: TransferLimits;
  /** How many files the result of one task may be. */
  readonly maxOutputs: number;
  readonly storage: StorageConfig;
  readonly sourceAllow: SourceAllow;
  /** Where results may be put beyond the public internet, at the wish of a client. */
  readonly targetAllow: SourceAllow;
  /** What the servers of sources are told that asks them. */
  readonly sourceUserAgent: string;
  readonly maxSourceBytes: number;
  /** Narrower ones for what turns out to be one; `null`: as for all. */
  readonly maxImageBytes: number | null;
  readonly maxVideoBytes: number | null;
  readonly limits: MediaLimits;
  /** Whether small pictures are made of results that are pictures. */
  readonly thumbnails: boolean;
  /** Whether a task takes the results of another one that is the same. */
  readonly coalesces: boolean;
  readonly retention: RetentionConfig;
  /** So long after its end a task is on record, milliseconds; `null`: for ever. */
  readonly recordRetentionMs: number | null;
  /** So long what happened to a task, or operators did, stays on record, milliseconds; `null`: for ever. */
  readonly eventRetentionMs: number | null;
  /** Of dialects, by the names of the variables; each takes its own. */
  readonly dialectSettings: SettingValues;
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
}

export interface ApiKeyConfig {
  /** Whose tasks they are that come with it. */
  readonly name: string;
  readonly key: string;
  readonly scopes: readonly Scope[];
}

export interface TransferLimits {
  /** How many at once. */
  readonly downloads: number;
  readonly uploads: number;
  /** Bytes of sources on disk from which on no further download begins. */
  readonly spoolBytes: number;
}

/** When results go from the store. */
export interface RetentionConfig {
  /** So long after their task has completed, where it says nothing else; `null`: never. */
  readonly retentionMs: number | null;
  /** The oldest, when all take more; `null`: any number. */
  readonly maxBytes: number | null;
}

/** Everything that is wrong with the settings, in one message. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';

  constructor(problems: readonly string[]) {
    super(`The settings are wrong:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
  }
}

/** 0 stands for no limit, as if there were none. */
function noLimit() {
  return wholeNumber(0, Number.MAX_SAFE_INTEGER).default(0);
}

const daysError = 'must be a number of days from 0 to 36500';
const days = z.coerce
  .number({ error: daysError })
  .min(0, { error: daysError })
  .max(36_500, { error: daysError });

/** Every setting with its default. `docs/configuration.md` and `.env.example` list the same. */
const settings = z.object({
  HOST: z.string().default('127.0.0.1'),
  PORT: wholeNumber(0, 65_535).default(6008),
  PUBLIC_URL: httpUrl.optional(),
  API_KEYS: z.string().default('').transform(parsed(parseKeys)),
  OPERATOR_KEYS: z.string().default('').transform(parsed(parseKeys)),
  ALLOW_ANONYMOUS: yesOrNo.default(false),
  ALLOWED_HOSTS: z.string().default('').transform(parsed(parseHosts)),
  CORS_ORIGINS: z.string().default('').transform(parsed(parseOrigins)),
  DIALECT_PORTS: z.string().default('').transform(parsed(parseDialectPorts)),
  DATABASE_URL: z.string().transform(parsed(checkDatabaseUrl)).optional(),
  DATABASE_POOL_SIZE: wholeNumber(1, 1_000).default(10),
  DATA_DIR: z.string().default('./data'),
  WORKFLOWS_DIR: z.string().optional(),
  COMFYUI_BACKENDS: z.string().transform(parsed(parseBackends)).optional(),
  COMFYUI_INPUT_DIRS: z.string().default('').transform(parsed(parseInputDirs)),
  MAX_QUEUE: noLimit(),
  LIMIT_REQUESTS: noLimit(),
  LIMIT_WAITING: noLimit(),
  LIMIT_RUNNING: noLimit(),
  LIMIT_STORED_BYTES: noLimit(),
  LIMIT_UPLOAD_BYTES: noLimit(),
  LIMIT_GPU_SECONDS: noLimit(),
  LIMIT_WRONG_KEYS: wholeNumber(0, Number.MAX_SAFE_INTEGER).default(60),
  MAX_ATTEMPTS: wholeNumber(1, 100).default(3),
  QUEUE_TIMEOUT: seconds().default(24 * 3_600),
  RUN_TIMEOUT: seconds().default(3_600),
  QUEUE_WHEN_UNAVAILABLE: yesOrNo.default(false),
  UNKNOWN_FIELDS: z.enum(['tell', 'refuse'], 'must be tell or refuse').default('tell'),
  WARM_PATIENCE: seconds().default(30),
  SHUTDOWN_GRACE: seconds().default(10),
  MAX_DOWNLOADS: wholeNumber(1, 1_000).default(16),
  MAX_UPLOADS: wholeNumber(1, 1_000).default(8),
  MAX_OUTPUTS: wholeNumber(1, 100_000).default(1_000),
  MAX_SPOOL_BYTES: wholeNumber(1, Number.MAX_SAFE_INTEGER).default(16 * 1024 ** 3), // 16 GiB
  ...storageVariables,
  SOURCE_ALLOW: z.string().default('').transform(parsed(parseSourceAllow)),
  TARGET_ALLOW: z.string().default('').transform(parsed(parseSourceAllow)),
  SOURCE_USER_AGENT: z
    .string()
    .regex(/^[\x20-\x7e]{1,500}$/, 'must be printable ASCII')
    .default('Mozilla/5.0 (compatible; TMLSR)'),
  MAX_SOURCE_BYTES: wholeNumber(1, Number.MAX_SAFE_INTEGER).default(4 * 1024 ** 3), // 4 GiB
  MAX_IMAGE_BYTES: wholeNumber(1, Number.MAX_SAFE_INTEGER).optional(),
  MAX_VIDEO_BYTES: wholeNumber(1, Number.MAX_SAFE_INTEGER).optional(),
  MAX_IMAGE_PIXELS: wholeNumber(1, Number.MAX_SAFE_INTEGER).default(generousLimits.maxImagePixels),
  MAX_VIDEO_PIXELS: wholeNumber(1, Number.MAX_SAFE_INTEGER).default(generousLimits.maxVideoPixels),
  MAX_VIDEO_SECONDS: wholeNumber(1, 10_000_000).default(generousLimits.maxVideoSeconds),
  MAX_VIDEO_FRAMES: wholeNumber(1, Number.MAX_SAFE_INTEGER).default(generousLimits.maxVideoFrames),
  THUMBNAILS: yesOrNo.default(true),
  CACHE: z.stringbool({ error: 'must be on or off' }).default(false),
  RETENTION_DAYS: days.default(0),
  MAX_STORED_BYTES: wholeNumber(1, Number.MAX_SAFE_INTEGER).optional(),
  EVENT_RETENTION_DAYS: days.default(30),
  RECORD_RETENTION_DAYS: days.default(0),
  LOG_LEVEL: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
      error: 'must be trace, debug, info, warn, error, fatal or silent',
    })
    .default('info'),
});

/** Of all settings, those that dialects declare among them. */
export function settingNames(declared: readonly DeclaredSettings[]): string[] {
  const own = [settings.shape, ...declared.map(({ schemas }) => schemas)];
  return own.flatMap((schemas) => Object.keys(schemas));
}

/** Prefixes that only our own settings have a reason to bear. */
const ours =
  /^(COMFYUI_|SOURCE_|MAX_SOURCE_|MAX_IMAGE_|MAX_VIDEO_|MAX_STORED_|LIMIT_|RETENTION_|EVENT_|RECORD_|TARGET_|WORKFLOWS_)/;

/**
 * `declared`: what dialects let operators set.
 *
 * @throws ConfigError naming every variable that is wrong.
 */
export function readConfig(env: Env, declared: readonly DeclaredSettings[]): Config {
  // An empty variable is one that a compose file passed on unset.
  const given = Object.entries(env).filter(([, value]) => value !== undefined && value !== '');
  const { variables, problems: unread } = withSecretFiles(
    Object.fromEntries(given) as Record<string, string>,
  );
  const { data, error } = settings.safeParse(variables, { error: misfitWords });
  const ofDialects = z
    .object(Object.assign({}, ...declared.map(({ schemas }) => schemas)))
    .safeParse(variables, { error: misfitWords });
  const problems = [error, ofDialects.error].flatMap((each) => each?.issues ?? []).map(sentenceOf);
  problems.push(...unread, ...missingForStorage(variables), ...sharedKeys(variables));
  if (!data || !ofDialects.data || problems.length > 0) throw new ConfigError(problems);
  return {
    host: data.HOST,
    port: data.PORT,
    publicUrl: data.PUBLIC_URL ?? null,
    apiKeys: [
      ...data.API_KEYS.map((key) => ({ ...key, scopes: clientScopes })),
      ...data.OPERATOR_KEYS.map((key) => ({ ...key, scopes: ['admin'] as const })),
    ],
    allowedHosts: data.ALLOWED_HOSTS,
    allowAnonymous: data.ALLOW_ANONYMOUS,
    corsOrigins: data.CORS_ORIGINS,
    dialectPorts: data.DIALECT_PORTS,
    databaseUrl: data.DATABASE_URL ?? null,
    databasePoolSize: data.DATABASE_POOL_SIZE,
    dataDir: resolve(data.DATA_DIR),
    workflowsDir: data.WORKFLOWS_DIR ? resolve(data.WORKFLOWS_DIR) : shippedWorkflows(),
    backends: data.COMFYUI_BACKENDS ?? null,
    inputDirs: data.COMFYUI_INPUT_DIRS,
    quotas: {
      queue: orNone(data.MAX_QUEUE),
      requests: orNone(data.LIMIT_REQUESTS),
      waiting: orNone(data.LIMIT_WAITING),
      running: orNone(data.LIMIT_RUNNING),
      storedBytes: orNone(data.LIMIT_STORED_BYTES),
      uploadBytes: orNone(data.LIMIT_UPLOAD_BYTES),
      gpuSeconds: orNone(data.LIMIT_GPU_SECONDS),
      wrongKeys: orNone(data.LIMIT_WRONG_KEYS),
    },
    maxAttempts: data.MAX_ATTEMPTS,
    timeouts: {
      queueMs: orNone(data.QUEUE_TIMEOUT * 1_000),
      runMs: orNone(data.RUN_TIMEOUT * 1_000),
    },
    queueWhenUnavailable: data.QUEUE_WHEN_UNAVAILABLE,
    unknownFields: data.UNKNOWN_FIELDS,
    warmPatienceMs: data.WARM_PATIENCE * 1_000,
    shutdownGraceMs: data.SHUTDOWN_GRACE * 1_000,
    transfers: {
      downloads: data.MAX_DOWNLOADS,
      uploads: data.MAX_UPLOADS,
      spoolBytes: data.MAX_SPOOL_BYTES,
    },
    maxOutputs: data.MAX_OUTPUTS,
    storage: storageConfig(data),
    sourceAllow: data.SOURCE_ALLOW,
    targetAllow: data.TARGET_ALLOW,
    sourceUserAgent: data.SOURCE_USER_AGENT,
    maxSourceBytes: data.MAX_SOURCE_BYTES,
    maxImageBytes: data.MAX_IMAGE_BYTES ?? null,
    maxVideoBytes: data.MAX_VIDEO_BYTES ?? null,
    limits: {
      maxImagePixels: data.MAX_IMAGE_PIXELS,
      maxVideoPixels: data.MAX_VIDEO_PIXELS,
      maxVideoSeconds: data.MAX_VIDEO_SECONDS,
      maxVideoFrames: data.MAX_VIDEO_FRAMES,
    },
    thumbnails: data.THUMBNAILS,
    coalesces: data.CACHE,
    retention: {
      // A result does not outlive the record of its task, or nobody would remove it.
      retentionMs: orNone(inDays(sooner(data.RETENTION_DAYS, data.RECORD_RETENTION_DAYS))),
      maxBytes: data.MAX_STORED_BYTES ?? null,
    },
    recordRetentionMs: orNone(inDays(data.RECORD_RETENTION_DAYS)),
    eventRetentionMs: orNone(inDays(data.EVENT_RETENTION_DAYS)),
    dialectSettings: ofDialects.data,
    logLevel: data.LOG_LEVEL,
  };
}

/** 0 stands for ever. */
function sooner(days: number, others: number): number {
  return Math.min(days || others, others || days);
}

/** So many days in milliseconds. */
function inDays(days: number): number {
  return days * 24 * 3_600_000;
}

/** Variables that look like a misspelt one of ours. */
export function unknownSettings(env: Env, declared: readonly DeclaredSettings[]): string[] {
  const known = [...settingNames(declared), ...secretFileNames];
  const prefixes = [...storagePrefixes, ...declared.map(({ prefix }) => prefix)];
  const isOurs = (name: string) =>
    ours.test(name) || prefixes.some((prefix) => name.startsWith(prefix));
  return Object.keys(env).filter((name) => isOurs(name) && !known.includes(name));
}

function sentenceOf({ path, message }: z.core.$ZodIssue): string {
  return `${String(path[0])} ${message}`;
}

/** `./workflows` of the working directory is this folder when the gateway is started from its own. */
function shippedWorkflows(): string {
  return fileURLToPath(new URL('../../workflows', import.meta.url));
}

function checkDatabaseUrl(text: string): string {
  parseDatabaseAddress(text);
  return text;
}

/** `name:key,name:key`; a key may occur in no message. */
function parseKeys(text: string): { name: string; key: string }[] {
  return entries(text).map((entry, index) => {
    const [, name, key] = /^([A-Za-z0-9][\w.-]{0,63}):(\S{16,256})$/.exec(entry) ?? [];
    if (name && key) return { name, key };
    throw new Error(`entry ${index + 1} is not name:key with a key of at least 16 characters`);
  });
}

/**
 * Keys that stand twice, under two names or for clients and operators: it would be chance which of the two the bearer
 * is. Each is told by its names, because a key may occur in no message.
 */
function sharedKeys(variables: Env): string[] {
  const { data } = settings.pick({ API_KEYS: true, OPERATOR_KEYS: true }).safeParse(variables);
  const places = [
    ...(data?.API_KEYS ?? []).map(({ name, key }) => ({ key, place: `${name} of API_KEYS` })),
    ...(data?.OPERATOR_KEYS ?? []).map(({ name, key }) => ({
      key,
      place: `${name} of OPERATOR_KEYS`,
    })),
  ];
  return [...Map.groupBy(places, ({ key }) => key).values()]
    .map((same) => [...new Set(same.map(({ place }) => place))])
    .filter((same) => same.length > 1)
    .map((same) => `${same.join(' and ')} have the same key: give each one of its own`);
}

/** `gateway.lan,192.168.0.7,*.example.com`: as a URL has them, without a port. */
function parseHosts(text: string): string[] {
  return entries(text).map((entry, index) => {
    const name = entry.replace(/^\*\./, '').toLowerCase();
    const host = name.includes(':') && !name.startsWith('[') ? `[${name}]` : name;
    if (/^[\w.-]+$|^\[/.test(host) && URL.parse(`http://${host}`)?.host === host)
      return entry.toLowerCase();
    const hint = entry === '*' ? '; for any host, ask for keys' : '';
    throw new Error(
      `entry ${index + 1} is no host name such as gateway.lan or *.example.com${hint}`,
    );
  });
}

/** `https://app.example.com,http://localhost:3000`, as a browser writes them; or `*`. */
function parseOrigins(text: string): string[] {
  return entries(text).map((entry, index) => {
    if (entry === '*') return entry;
    if (URL.canParse(entry) && new URL(entry).origin === entry) return entry;
    throw new Error(`entry ${index + 1} is no origin such as https://app.example.com`);
  });
}

/** `upscale:8089,task-manager:8000`; which dialects there are, the gateway knows. */
function parseDialectPorts(text: string): Map<string, number> {
  const ports = entries(text).map((entry, index): [string, number] => {
    const [, name, digits] = /^([a-z][a-z0-9-]*):(\d{1,5})$/.exec(entry) ?? [];
    if (name && Number(digits) <= 65_535) return [name, Number(digits)];
    throw new Error(`entry ${index + 1} is not dialect:port`);
  });
  return new Map(ports);
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

/** `address=path,address=path`. */
function parseInputDirs(text: string): ReadonlyMap<string, string> {
  const dirs = new Map<string, string>();
  for (const [index, entry] of entries(text).entries()) {
    const [, address = '', path] = /^([^=]+)=(.+)$/.exec(entry) ?? [];
    try {
      if (path === undefined) throw new Error('an input folder is given as address=path');
      const { label } = parseBackendAddress(address);
      if (dirs.has(label)) throw new Error(`${label} has a folder already`);
      dirs.set(label, parseInputDir(path));
    } catch (error) {
      throw new Error(`entry ${index + 1}: ${(error as Error).message}`);
    }
  }
  return dirs;
}

/** Where each part keeps its files. */
export function dataFolders(dataDir: string) {
  return {
    database: join(dataDir, 'db'),
    objects: join(dataDir, 'objects'),
    spool: join(dataDir, 'spool'),
  } as const;
}
