import type { z } from 'zod';
import type { Prompt } from '../core/bind.ts';
import { cutText } from '../core/cut-text.ts';
import { GatewayError } from '../core/errors.ts';
import { systemCodeOf } from '../core/system-code.ts';
import { withoutSecrets } from '../core/without-secrets.ts';
import type { ExecutionError, promptRefused } from './messages.ts';

export function backendUnreachable(cause: unknown): GatewayError {
  return new GatewayError('backend_unreachable', 'The ComfyUI server does not answer', { cause });
}

/** Whether nobody listens where the server should be. */
export function isRefused(error: unknown): boolean {
  const { cause } = error as GatewayError;
  const causes = cause instanceof AggregateError ? cause.errors : [cause];
  return causes.some((each) => systemCodeOf(each) === 'ECONNREFUSED');
}

export function backendFailed(what: string, detail: unknown, why?: string): GatewayError {
  const message = `The ComfyUI server could not ${what}`;
  return new GatewayError('backend_failed', why ? `${message}: ${why}` : message, { detail });
}

/** An input that is larger than a server takes; another may take more. */
export class InputRefusedError extends GatewayError {
  /** How large the input is. */
  readonly bytes: number;

  constructor(bytes: number, message: string, detail: unknown) {
    super('backend_upload_refused', message, { detail });
    this.bytes = bytes;
  }
}

/** `maxBytes`: what the server says that it takes; `null` where it has only refused the upload. */
export function inputRefused(
  bytes: number,
  maxBytes: number | null,
  detail?: unknown,
): InputRefusedError {
  const most = maxBytes === null ? '' : ` (${inMegabytes(maxBytes)} MB)`;
  const message =
    `The input (${inMegabytes(bytes)} MB) is larger than the ComfyUI server takes${most}: ` +
    'its flag --max-upload-size says how much';
  return new InputRefusedError(bytes, message, detail);
}

/**
 * A refusal that is not ComfyUI's own: something stands in front of the server and takes less than it.
 * `maxBytes`: what the server itself says that it takes; `null` where it says nothing.
 */
export function inputRefusedInFront(
  bytes: number,
  maxBytes: number | null,
  detail: unknown,
): InputRefusedError {
  const itself = maxBytes === null ? '' : `, which itself takes ${inMegabytes(maxBytes)} MB`;
  const message =
    `The input (${inMegabytes(bytes)} MB) is refused by something in front of the ComfyUI server${itself}: ` +
    'a proxy has a limit of its own, such as client_max_body_size of nginx';
  return new InputRefusedError(bytes, message, detail);
}

/** Whether a 413 is in ComfyUI's own words, and so its own. */
export function isOwnRefusal(text: string): boolean {
  return text.startsWith('Maximum request body size');
}

function inMegabytes(bytes: number): string {
  return (bytes / 1024 ** 2).toFixed(1);
}

/**
 * `workflow_unsupported` when the server lacks a node or a file that the graph names, so that another
 * may run it; else `prompt_rejected`. Names what is wrong by node and input; the details of the server
 * (lists of its files, tracebacks) stay here. `missing`: all classes that the server lacks, where it names
 * the first alone.
 */
export function promptRejected(
  prompt: Prompt,
  refused: z.infer<typeof promptRefused>,
  missing: readonly string[] = [],
): GatewayError {
  const reasons = Object.entries(refused.node_errors).flatMap(([id, { errors }]) =>
    errors.map(({ type, message, extra_info: { input_name: input } }) => {
      const where = input === undefined ? titleOf(prompt, id) : `${titleOf(prompt, id)}, ${input}`;
      const value = type === notInList ? prompt[id]?.inputs[input ?? ''] : undefined;
      const named = typeof value === 'string' ? `${message}: ${JSON.stringify(value)}` : message;
      return `${where}: ${named} (${type})`;
    }),
  );
  const lacking = missing.length > 1 ? [`it has no node classes ${missing.join(', ')}`] : [];
  const said = [...lacking, ...reasons].join('; ') || refused.error.message;
  const reason = cutText(said, 1_000);
  const code = isShortcoming(refused) ? 'workflow_unsupported' : 'prompt_rejected';
  return new GatewayError(code, `ComfyUI refused the workflow: ${withoutSecrets(reason)}`, {
    detail: refused,
  });
}

/** The server names the value only beside a list of its files, which stays here: the graph tells it. */
const notInList = 'value_not_in_list';

/** Whether the server has no class of some node. */
export function isClassMissing({ error }: z.infer<typeof promptRefused>): boolean {
  if (error.type === 'missing_node_type') return true;
  // Older servers say by the same type that the graph is malformed.
  return error.type === 'invalid_prompt' && error.message.endsWith('does not exist.');
}

function isShortcoming(refused: z.infer<typeof promptRefused>): boolean {
  const { node_errors } = refused;
  if (isClassMissing(refused)) return true;
  return Object.values(node_errors).some(({ errors }) =>
    errors.some(({ type }) => type === notInList),
  );
}

/**
 * A node's exception, without the traceback and the server's paths that come with it. The node goes by
 * its title where the prompt is known.
 */
export function executionFailed(error: ExecutionError, prompt: Prompt | null = null): GatewayError {
  const where = nodeOf(error, prompt);
  if (isOutOfMemory(error)) {
    const which = error.exception_type === 'MemoryError' ? 'memory' : 'GPU memory';
    return new GatewayError(
      'out_of_memory',
      `${where} ran out of ${which}; a smaller input or output may fit`,
      { detail: error },
    );
  }
  const message =
    cutText(saidIn(error.exception_message ?? ''), 1_000) ||
    cutText(error.exception_type ?? '', 100) ||
    'no message';
  const code = isMissingFile(error, prompt) ? 'workflow_unsupported' : 'execution_failed';
  return new GatewayError(code, `${where} failed: ${message}`, { detail: error });
}

/**
 * Whether the node complains that something which the workflow names (a model, a device) is not there.
 * Lists of the new kind are not checked when a prompt is posted, so that this is the first to be heard
 * of it.
 */
function isMissingFile(
  { node_id, exception_message = '' }: ExecutionError,
  prompt: Prompt | null,
): boolean {
  if (!/not found|not available|no such file|does not exist/i.test(exception_message)) return false;
  const inputs = Object.values(prompt?.[node_id ?? '']?.inputs ?? {});
  // In quotation marks: the words may occur by chance.
  return inputs.some(
    (value) =>
      typeof value === 'string' &&
      [`'${value}'`, `"${value}"`].some((quoted) => exception_message.includes(quoted)),
  );
}

function nodeOf({ node_id, node_type }: ExecutionError, prompt: Prompt | null): string {
  // A node that expands into others reports ids which are not in the prompt.
  if (prompt && node_id !== undefined && prompt[node_id]) return titleOf(prompt, node_id);
  return cutText(node_type ?? 'A node', 100);
}

function isOutOfMemory({ exception_type = '', exception_message = '' }: ExecutionError): boolean {
  return (
    /OutOfMemoryError|MemoryError/.test(exception_type) ||
    /out of memory|not enough memory|exceed allowed memory|CUBLAS_STATUS_ALLOC_FAILED/i.test(
      exception_message,
    )
  );
}

export function titleOf(prompt: Prompt, id: string): string {
  const node = prompt[id];
  if (!node) return `node ${id}`;
  return node._meta?.title ?? node.class_type;
}

/** A message goes on in further lines; of a traceback in it only the last line says what happened. */
function saidIn(text: string): string {
  const said: string[] = [];
  let isTraceback = false;
  for (const line of cutText(text, 10_000).split('\n')) {
    isTraceback = isTraceback ? /^\s/.test(line) : /^Traceback\b/.test(line);
    if (!isTraceback && line.trim() !== '') said.push(line.trim());
  }
  return said.map((line) => withoutPaths(withoutSecrets(line))).join(' ');
}

/** Absolute ones, of Linux and of Windows; in quotation marks they may hold blanks. */
function withoutPaths(text: string): string {
  return text
    .replace(/(['"])(?:[A-Za-z]:[\\/]|[\\/]).*?\1/g, '$1…$1')
    .replace(/(?<![\w.])(?:[A-Za-z]:[\\/]|[\\/])[^\s'",:;]*[\\/][^\s'",:;)]*/g, '…');
}
