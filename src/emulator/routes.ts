/** ComfyUI's HTTP routes, each with the statuses and bodies that were recorded. */
import type { IncomingMessage } from 'node:http';
import os from 'node:os';
import type { Executor } from './executor.ts';
import type { Folders } from './folders.ts';
import { cancelJob, getJob, listJobs } from './jobs.ts';
import type { Ledger } from './ledger.ts';
import { type Catalog, describeClass, modelFolders } from './object-info.ts';
import type { PromptQueue } from './prompt-queue.ts';
import { bool, float, PythonError, repr, str } from './python.ts';
import { empty, json, type Reply, text } from './reply.ts';
import { BodyTooLarge, type Uploads } from './upload.ts';
import { validatePrompt } from './validate.ts';
import { view } from './view.ts';
import type { ExtraData, Prompt, QueueItem } from './wire.ts';

export interface RouteContext {
  readonly queue: PromptQueue;
  readonly executor: Executor;
  readonly uploads: Uploads;
  readonly folders: Folders;
  readonly catalog: Catalog;
  readonly ledger: Ledger;
  /** Whether it answers `/api/jobs`. */
  readonly hasJobs: boolean;
  readonly version: string;
  readonly features: Readonly<Record<string, unknown>>;
  readonly maxBodyBytes: number;
  readonly argv: readonly string[];
}

export interface RouteRequest {
  readonly message: IncomingMessage;
  readonly query: URLSearchParams;
  /** What stood for `*` in the route's path. */
  readonly wildcard: string;
}

type Handler = (context: RouteContext, request: RouteRequest) => Promise<Reply> | Reply;

/** By path, where a `*` is one segment, and by method. HEAD follows from GET. */
export type Routes = Readonly<Record<string, Readonly<Record<string, Handler>>>>;

/** Each of them stands below `/api` as well. */
export const routes: Routes = {
  '/': { GET: () => text(200, 'This is the TMLSR emulator of a ComfyUI server, on CPU.\n') },
  '/prompt': { GET: promptInfo, POST: postPrompt },
  '/queue': { GET: getQueue, POST: postQueue },
  '/history': { GET: listHistory, POST: postHistory },
  '/history/*': { GET: getHistory },
  '/interrupt': { POST: postInterrupt },
  '/free': { POST: postFree },
  '/upload/image': { POST: ({ uploads }, { message }) => uploads.receive(message) },
  '/view': { GET: ({ folders }, { message, query }) => view(query, message.headers, folders) },
  '/object_info': { GET: listClasses },
  '/object_info/*': { GET: getClass },
  '/system_stats': { GET: systemStats },
  '/features': { GET: ({ features }) => json(features) },
  '/models': { GET: () => json(modelFolders) },
  '/models/*': { GET: ({ catalog }, { wildcard }) => getModels(catalog, wildcard) },
  '/embeddings': { GET: () => json([]) },
  '/extensions': { GET: () => json([]) },
  '/emulator/runs': { GET: listRuns },
};

/** These are to be had below `/api` only, and only where the server has them. */
export const jobRoutes: Routes = {
  '/api/jobs': { GET: ({ queue }, { query }) => listJobs(queue, query) },
  '/api/jobs/*': { GET: ({ queue }, { wildcard }) => getJob(queue, wildcard) },
  '/api/jobs/*/cancel': {
    POST: ({ queue, executor }, { wildcard }) => cancelJob(queue, executor, wildcard),
  },
};

/** Not ComfyUI's: for tests and benches whose emulator is a process of its own. */
function listRuns({ ledger }: RouteContext): Reply {
  return json(
    ledger.runs.map(({ id, status, ...run }) => ({ promptId: id, ...run, outcome: status })),
  );
}

function promptInfo({ queue }: RouteContext): Reply {
  return json({ exec_info: { queue_remaining: queue.remaining } });
}

async function postPrompt(context: RouteContext, { message }: RouteRequest): Promise<Reply> {
  const { queue, folders, catalog } = context;
  const body = await readJson(message, context.maxBodyBytes);
  const asked = asRecord(body);
  const number = 'number' in asked ? float(asked.number) : queued(queue, bool(asked.front));
  if (!('prompt' in asked)) {
    const reason = 'No prompt provided';
    const error = { type: 'no_prompt', message: reason, details: reason, extra_info: {} };
    return json({ error, node_errors: {} }, 400);
  }
  const promptId = 'prompt_id' in asked ? str(asked.prompt_id) : crypto.randomUUID();
  const targets = asked.partial_execution_targets;
  const validation = await validatePrompt(
    asked.prompt,
    Array.isArray(targets) ? targets : null,
    folders,
    catalog,
  );
  const extraData = extraDataOf(asked);
  if (validation.error !== null) {
    return json({ error: validation.error, node_errors: validation.nodeErrors }, 400);
  }
  if (context.hasJobs) extraData.create_time = Date.now();
  const prompt = asked.prompt as Prompt;
  const item: QueueItem = [number, promptId, prompt, extraData, validation.outputs];
  queue.put(item);
  return json({ prompt_id: promptId, number, node_errors: validation.nodeErrors });
}

/** Later prompts to the front run before earlier ones. */
function queued(queue: PromptQueue, isFront: boolean): number {
  const number = queue.nextNumber();
  return isFront ? -number : number;
}

function extraDataOf(asked: Record<string, unknown>): ExtraData {
  const given = 'extra_data' in asked ? asked.extra_data : {};
  if (typeof given !== 'object' || given === null) {
    throw new PythonError('TypeError', `${repr(given)} does not support item assignment`);
  }
  return 'client_id' in asked ? { ...given, client_id: asked.client_id } : { ...given };
}

function getQueue({ queue }: RouteContext): Reply {
  return json({ queue_running: queue.running, queue_pending: queue.pending });
}

async function postQueue(context: RouteContext, { message }: RouteRequest): Promise<Reply> {
  const asked = asRecord(await readJson(message, context.maxBodyBytes));
  if (bool(asked.clear)) context.queue.clear();
  for (const id of idsOf(asked.delete)) context.queue.delete(id);
  return empty(200);
}

async function postHistory(context: RouteContext, { message }: RouteRequest): Promise<Reply> {
  const asked = asRecord(await readJson(message, context.maxBodyBytes));
  if (bool(asked.clear)) context.queue.clearHistory();
  for (const id of idsOf(asked.delete)) context.queue.deleteHistory(id);
  return empty(200);
}

/** A bare string is walked character by character, as Python would. */
function idsOf(value: unknown): Iterable<string> {
  return Array.isArray(value) || typeof value === 'string' ? value : [];
}

function getHistory({ queue }: RouteContext, { wildcard }: RouteRequest): Reply {
  const entry = queue.historyOf(wildcard);
  return json(entry === undefined ? {} : { [wildcard]: entry });
}

function listHistory({ queue }: RouteContext, { query }: RouteRequest): Reply {
  const maxItems = query.get('max_items');
  const offset = query.get('offset');
  const parse = (value: string) => {
    if (/^-?\d+$/.test(value)) return Number(value);
    throw new PythonError('ValueError', `invalid literal for int() with base 10: ${repr(value)}`);
  };
  return json(queue.listHistory(maxItems ? parse(maxItems) : null, offset ? parse(offset) : -1));
}

async function postInterrupt(context: RouteContext, { message }: RouteRequest): Promise<Reply> {
  const body = await readBody(message, context.maxBodyBytes);
  const asked = asRecord(parseOr(body, {}));
  if (Array.isArray(asked)) throw new PythonError('AttributeError', "'list' object has no 'get'");
  const id = asked.prompt_id;
  const isMeant = !bool(id) || context.queue.running.some((item) => item[1] === id);
  if (isMeant) context.executor.interrupt();
  return empty(200);
}

async function postFree(context: RouteContext, { message }: RouteRequest): Promise<Reply> {
  const asked = asRecord(await readJson(message, context.maxBodyBytes));
  context.ledger.freed += 1;
  const cache = bool(asked.free_memory);
  // As in ComfyUI's loop: who drops the cache drops the models with it.
  await context.executor.free({ cache, models: cache || bool(asked.unload_models) });
  return empty(200);
}

async function listClasses({ folders, catalog }: RouteContext): Promise<Reply> {
  const described = [...catalog.classes].map(async ([name, info]) => [
    name,
    await describeClass(info, folders),
  ]);
  return json(Object.fromEntries(await Promise.all(described)));
}

async function getClass(
  { folders, catalog }: RouteContext,
  { wildcard }: RouteRequest,
): Promise<Reply> {
  const info = catalog.classes.get(wildcard);
  return json(info === undefined ? {} : { [wildcard]: await describeClass(info, folders) });
}

function getModels(catalog: Catalog, folder: string): Reply {
  const models = catalog.modelsIn(folder);
  return models === null ? empty(404) : json(models);
}

function systemStats({ argv, version }: RouteContext): Reply {
  const [total, free] = [os.totalmem(), os.freemem()];
  return json({
    system: {
      os: 'posix',
      ram_total: total,
      ram_free: free,
      comfyui_version: version,
      required_frontend_version: '1.27.10',
      installed_templates_version: '0.1.95',
      required_templates_version: '0.1.95',
      python_version: `none (Node.js ${process.version})`,
      pytorch_version: 'none (TensorFlow.js)',
      embedded_python: false,
      argv,
    },
    devices: [
      {
        name: 'cpu (tmlsr-emulator)',
        type: 'cpu',
        index: null,
        vram_total: total,
        vram_free: free,
        torch_vram_total: total,
        torch_vram_free: free,
      },
    ],
  });
}

async function readJson(message: IncomingMessage, maxBytes: number): Promise<unknown> {
  return JSON.parse(await readBody(message, maxBytes));
}

async function readBody(message: IncomingMessage, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of message) {
    size += chunk.length;
    if (size > maxBytes) throw new BodyTooLarge(maxBytes, size);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseOr(body: string, fallback: unknown): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return fallback;
  }
}

/** Python's `in` works on lists as well, and finds no key there. */
function asRecord(value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  throw new PythonError('TypeError', `argument of type ${repr(value)} is not iterable`);
}
