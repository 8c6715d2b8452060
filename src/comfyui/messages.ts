import { z } from 'zod';
import { choicesIn, recordOf, typeName } from '../core/input-spec.ts';
import type { Choice, NodeCatalogue, NodeClass, NodeInput } from '../core/node-catalogue.ts';
import { InternTable } from './intern-table.ts';
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

/** The prompt that is over by this message; `null` where it tells something else. */
export function endedPrompt(message: ComfyMessage): string | null {
  switch (message.type) {
    case 'executing':
      return message.data.node === null ? (message.data.prompt_id ?? null) : null;
    case 'execution_success':
    case 'execution_error':
    case 'execution_interrupted':
      return message.data.prompt_id;
    default:
      return null;
  }
}

const nodeError = z.object({
  class_type: z.string().optional(),
  errors: z
    .array(
      z.object({
        type: z.string(),
        message: z.string(),
        extra_info: z.object({ input_name: z.string().optional() }).catch({}),
      }),
    )
    .default([]),
  /** The output nodes that do not run for it. */
  dependent_outputs: z.array(z.string()).catch([]),
});

/** What is wrong with a part of the prompt does not keep the server from running the rest. */
export const promptAccepted = z.object({
  prompt_id: z.string(),
  number: z.number(),
  node_errors: z.record(z.string(), nodeError).catch({}),
});

/** The body of a refused prompt. */
export const promptRefused = z.object({
  error: z.object({ type: z.string(), message: z.string() }),
  node_errors: z.record(z.string(), nodeError).catch({}),
});

const queueEntry = z.tuple([z.number(), z.string()]).rest(z.unknown());
type QueueEntry = z.infer<typeof queueEntry>;

/** A prompt that a node has queued, with everything else as it was in the one that it comes from. */
export interface RequeuedPrompt {
  readonly id: string;
  /** The prompt of ours from which it comes, however many lie between. */
  readonly root: string;
  /** Later ones have smaller numbers. */
  readonly number: number;
}

/** Goes along in `extra_data` with a prompt that may be queued again: by it the others are known. */
export const rootMark = 'tmlsr_prompt';

export function requeuedPrompts(entries: readonly QueueEntry[]): RequeuedPrompt[] {
  return entries.flatMap(([number, id, , extraData]) => {
    const root = recordOf(extraData)[rootMark];
    return typeof root === 'string' && root !== id ? { id, root, number } : [];
  });
}

export const queueState = z.object({
  queue_running: z.array(queueEntry),
  queue_pending: z.array(queueEntry),
});

const outputFile = z.object({ filename: z.string(), subfolder: z.string(), type: z.string() });
/** A file in one of the server's folders. */
export type ServerFile = z.infer<typeof outputFile>;
/** A file that a node reported. */
export type OutputFile = ServerFile & { readonly node: string };
/** A text that a node showed. */
export interface ShownText {
  readonly node: string;
  readonly text: string;
}

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

const endedEntry = z.object({ prompt: queueEntry });

/** What stood in the queue, of all that have ended. */
export const endedEntries = z.record(z.string(), z.unknown()).transform((entries) =>
  Object.values(entries).flatMap((entry) => {
    const { data } = endedEntry.safeParse(entry);
    return data ? [data.prompt] : [];
  }),
);

/** What the nodes of a prompt reported. */
export interface MadeByNodes {
  readonly files: readonly OutputFile[];
  readonly texts: readonly ShownText[];
}

/** How a prompt ended, as its history tells it. */
export type PromptEnd =
  | {
      readonly kind: 'success';
      readonly made: MadeByNodes;
      /** Whether a node has queued another prompt that goes on where this one ended. */
      readonly goesOn: boolean;
    }
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
  const { outputs } = entry;
  const goesOn = Object.values(outputs).some((output) => 'unfinished_batch' in output);
  const made = { files: outputFiles(outputs), texts: shownTexts(outputs) };
  return { kind: 'success', made, goesOn };
}

/** Every file that any node reported: `images`, `gifs`, `video` … are all lists of them. */
function outputFiles(outputs: Record<string, Record<string, unknown>>): OutputFile[] {
  return Object.entries(outputs).flatMap(([node, { result, ...byKey }]) =>
    Object.values(byKey)
      .flatMap((list) => (Array.isArray(list) ? list : []))
      .flatMap((file) => outputFile.safeParse(file).data ?? [])
      .concat(shownModel(result))
      .map((file) => ({ ...file, node })),
  );
}

/** What `Preview3D` shows: the path of a model below the outputs, and from where it is looked at. */
function shownModel(result: unknown): ServerFile[] {
  if (!Array.isArray(result)) return [];
  const [path] = result;
  if (path === '') return [];
  if (typeof path !== 'string')
    return result.flatMap((each) => outputFile.safeParse(each).data ?? []);
  const [filename = '', ...folders] = path.split('/').reverse();
  return [{ filename, subfolder: folders.reverse().join('/'), type: 'output' }];
}

/** A node that shows a list shows one below the other. */
function shownTexts(outputs: Record<string, Record<string, unknown>>): ShownText[] {
  return Object.entries(outputs).flatMap(([node, { text }]) => {
    const shown = [text].flat(Number.POSITIVE_INFINITY).filter((each) => typeof each === 'string');
    return shown.length > 0 ? { node, text: shown.join('\n') } : [];
  });
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

/** Of all servers together. Each describes its classes in 50 MB at most, and most alike. */
const nodeClasses = new InternTable<NodeClass>(256 * 1024 * 1024);
const choiceLists = new InternTable<readonly Choice[]>();

/**
 * What `/object_info` says of the node classes. A class that a custom node describes in its own way is
 * still one that the server has: what cannot be read is left out. What servers say alike is one object.
 *
 * @throws RangeError when all servers together describe more than is kept.
 */
export function nodeCatalogue(info: unknown): NodeCatalogue {
  return new Map(
    Object.entries(recordOf(info)).map(([name, described]) => [
      name,
      nodeClasses.intern([name, described], () => nodeClass(name, recordOf(described))),
    ]),
  );
}

function nodeClass(name: string, described: Readonly<Record<string, unknown>>): NodeClass {
  const { input, input_order: order, output, output_name: names } = described;
  const { required, optional } = recordOf(input);
  const types = Array.isArray(output) ? output : [];
  return {
    name,
    displayName: typeof described.display_name === 'string' ? described.display_name : name,
    inputs: [
      ...nodeInputs(name, recordOf(required), recordOf(order).required, true),
      ...nodeInputs(name, recordOf(optional), recordOf(order).optional, false),
    ],
    outputs: types.map((type, index) => ({
      name: String(Array.isArray(names) ? names[index] : type),
      type: typeName(type),
    })),
    isOutput: described.output_node === true,
  };
}

function nodeInputs(
  className: string,
  specs: Readonly<Record<string, unknown>>,
  order: unknown,
  isRequired: boolean,
): NodeInput[] {
  // An object forgets the order of names that are numbers.
  const listed = Array.isArray(order) ? order.filter((name) => Object.hasOwn(specs, name)) : [];
  const names = listed.length > 0 ? listed : Object.keys(specs);
  return names.map((name) => {
    const spec = Array.isArray(specs[name]) ? specs[name] : [];
    const { tooltip: _, ...settings } = recordOf(spec[1]);
    const isFromFolder = inputFolderLists.has(`${className}.${name}`);
    const choices = isFromFolder ? null : internedChoices(spec[0], settings);
    return {
      name,
      type: typeName(spec[0]),
      isRequired,
      choices,
      settings: choices && settings.options ? { ...settings, options: choices } : settings,
    };
  });
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

function internedChoices(
  type: unknown,
  settings: Readonly<Record<string, unknown>>,
): readonly Choice[] | null {
  const list = choicesIn(type, settings);
  // All the nodes that load a model list the same folder.
  return list && choiceLists.intern(list, () => list);
}
