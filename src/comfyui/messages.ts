import { z } from 'zod';
import type { NodeCatalogue } from '../core/capabilities.ts';
import { parsePythonJson } from './json.ts';

/**
 * What a ComfyUI server sends. Only the fields that we read are named; what else a server or a custom
 * node adds is let through unseen. Names are the wire's.
 */

const ofPrompt = { prompt_id: z.string() };

const message = z.discriminatedUnion('type', [
  z.object({ type: z.literal('status'), data: z.object({ sid: z.string().optional() }) }),
  z.object({ type: z.literal('execution_start'), data: z.object(ofPrompt) }),
  z.object({
    type: z.literal('execution_cached'),
    data: z.object({ ...ofPrompt, nodes: z.array(z.string()) }),
  }),
  z.object({
    type: z.literal('executing'),
    // A server that greets a new socket of a running prompt leaves prompt_id out.
    data: z.object({ prompt_id: z.string().optional(), node: z.string().nullable() }),
  }),
  z.object({
    type: z.literal('progress'),
    data: z.object({
      ...ofPrompt,
      node: z.string().nullable().optional(),
      value: z.number(),
      max: z.number(),
    }),
  }),
  z.object({ type: z.literal('execution_success'), data: z.object(ofPrompt) }),
  z.object({ type: z.literal('execution_error'), data: z.object(ofPrompt) }),
  z.object({ type: z.literal('execution_interrupted'), data: z.object(ofPrompt) }),
]);

export type ComfyMessage = z.infer<typeof message>;

/** The message, or `null` for one that is unknown or malformed: nothing depends on it. */
export function parseMessage(text: string): ComfyMessage | null {
  try {
    return message.safeParse(parsePythonJson(text)).data ?? null;
  } catch {
    return null;
  }
}

export const promptAccepted = z.object({
  prompt_id: z.string(),
  number: z.number(),
  node_errors: z.record(z.string(), z.unknown()).default({}),
});

const nodeError = z.object({
  class_type: z.string().optional(),
  errors: z
    .array(z.object({ type: z.string(), message: z.string(), details: z.string().optional() }))
    .default([]),
});

/** The body of a refused prompt. */
export const promptRefused = z.object({
  error: z.object({ type: z.string(), message: z.string() }),
  node_errors: z.record(z.string(), nodeError).catch({}),
});

const queueEntry = z.tuple([z.number(), z.string()]).rest(z.unknown());

export const queueState = z.object({
  queue_running: z.array(queueEntry),
  queue_pending: z.array(queueEntry),
});

const outputFile = z.object({ filename: z.string(), subfolder: z.string(), type: z.string() });
export type OutputFile = z.infer<typeof outputFile>;

const executionError = z.object({
  node_id: z.string().optional(),
  node_type: z.string().optional(),
  exception_message: z.string().optional(),
  exception_type: z.string().optional(),
});
export type ExecutionError = z.infer<typeof executionError>;

const historyEntry = z.object({
  outputs: z.record(z.string(), z.record(z.string(), z.unknown())).default({}),
  status: z
    .object({
      status_str: z.string(),
      completed: z.boolean(),
      messages: z.array(z.tuple([z.string(), z.unknown()])).default([]),
    })
    .optional(),
});

export const history = z.record(z.string(), historyEntry);

/** How a prompt ended, as its history tells it. */
export type PromptEnd =
  | { readonly kind: 'success'; readonly files: readonly OutputFile[] }
  | { readonly kind: 'error'; readonly error: ExecutionError }
  | { readonly kind: 'interrupted' };

/**
 * Messages are looked at before the status: an error raised outside any node may be filed as a
 * success.
 */
export function promptEnd(entry: z.infer<typeof historyEntry>): PromptEnd {
  const said = new Map(entry.status?.messages ?? []);
  if (said.has('execution_interrupted')) return { kind: 'interrupted' };
  const failed = said.has('execution_error') || entry.status?.status_str === 'error';
  if (failed) {
    return { kind: 'error', error: executionError.catch({}).parse(said.get('execution_error')) };
  }
  return { kind: 'success', files: outputFiles(entry.outputs) };
}

/** Every file that any node reported: `images`, `gifs`, `video` … are all lists of them. */
function outputFiles(outputs: Record<string, Record<string, unknown>>): OutputFile[] {
  return Object.values(outputs)
    .flatMap((byKey) => Object.values(byKey))
    .flatMap((list) => (Array.isArray(list) ? list : []))
    .flatMap((file) => outputFile.safeParse(file).data ?? []);
}

export const uploadedFile = z.object({ name: z.string(), subfolder: z.string() });

/** Bytes; a number that a driver does not tell is `NaN` on the wire, and `null` by now. */
const bytes = z.number().catch(0);

export const systemStats = z.object({
  system: z.object({ comfyui_version: z.string().optional() }),
  devices: z.array(z.object({ name: z.string(), vram_total: bytes, vram_free: bytes })).catch([]),
});

export const features = z.object({ max_upload_size: z.number().positive().optional() });

/** Newer servers know each prompt as a job; what the list says we read from queue and history. */
export const jobList = z.object({ jobs: z.array(z.unknown()) });

export const jobCanceled = z.object({ cancelled: z.boolean() });

export const objectInfo = z.record(z.string(), z.unknown());

/**
 * What `/object_info` says of the node classes, as far as servers differ in it: a class that a custom
 * node describes in its own way is still one that the server has.
 */
export function nodeCatalogue(info: unknown): NodeCatalogue {
  const lists = new Map<string, readonly string[]>();
  /** Many loaders list the same folder: one list is kept for all. */
  const shared = (list: readonly string[]) => {
    const key = JSON.stringify(list);
    const known = lists.get(key) ?? list;
    lists.set(key, known);
    return known;
  };
  const classes = Object.entries(recordOf(info)).map(([name, described]) => {
    const { required, optional } = recordOf(recordOf(described).input);
    const options = Object.entries({ ...recordOf(optional), ...recordOf(required) }).flatMap(
      ([field, spec]) => {
        const list = inputFolderLists.has(`${name}.${field}`) ? null : listOf(spec);
        return list ? [[field, shared(list)] as const] : [];
      },
    );
    return [name, { options: new Map(options) }] as const;
  });
  return new Map(classes);
}

/**
 * Lists of the files in the server's input folder that bear no `…_upload` flag. They say what was there
 * when the server was asked, and the nodes take any other file.
 */
const inputFolderLists: ReadonlySet<string> = new Set([
  'LoadLatent.latent',
  'VHS_LoadAudioUpload.audio',
  'VHS_LoadImages.directory',
  'VHS_LoadVideo.video',
  'VHS_LoadVideoFFmpeg.video',
]);

/** The strings that an input may have: `[[…], {…}]` or `["COMBO", {"options": […]}]`; else `null`. */
function listOf(spec: unknown): readonly string[] | null {
  if (!Array.isArray(spec)) return null;
  const [type, settings] = [spec[0], recordOf(spec[1])];
  if (Object.keys(settings).some((key) => isFilledElsewhere.test(key) && settings[key]))
    return null;
  const list: unknown = type === 'COMBO' ? settings.options : type;
  return Array.isArray(list) && list.every((option) => typeof option === 'string') ? list : null;
}

/** By an upload, or by the browser from another address. */
const isFilledElsewhere = /^(remote|remote_combo|.*upload)$/;

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  const isRecord = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isRecord ? (value as Record<string, unknown>) : {};
}
