import { z } from 'zod';
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

export const systemStats = z.object({
  system: z.object({ comfyui_version: z.string().optional() }),
});
