import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { Agent, type Dispatcher, request } from 'undici';
import type { z } from 'zod';
import { GatewayError } from '../core/errors.ts';
import type { Prompt } from '../core/workflow.ts';
import type { BackendAddress } from './address.ts';
import { backendFailed, backendUnreachable, promptRejected } from './errors.ts';
import { parsePythonJson } from './json.ts';
import {
  history,
  type OutputFile,
  type PromptEnd,
  promptAccepted,
  promptEnd,
  promptRefused,
  queueState,
  systemStats,
  uploadedFile,
} from './messages.ts';
import { multipartFile } from './multipart.ts';

/** ComfyUI answers from one event loop that a large upload or a busy node can hold up for a while. */
const answerMs = 15_000;
/** Bytes of one file move, or the transfer is dead. */
const idleMs = 60_000;
/** A queue lists whole graphs; nothing that we read is larger. */
const maxJsonBytes = 64 * 1024 * 1024;

/** Which of the ids asked about the server still has. */
export interface QueueState {
  readonly running: ReadonlySet<string>;
  readonly pending: ReadonlySet<string>;
}

export interface InputFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly contentType: string;
  /** ASCII, and unique in its folder. */
  readonly name: string;
  readonly subfolder: string;
}

/**
 * ComfyUI's HTTP interface. Every call has a deadline and throws GatewayError: `backend_unreachable`
 * when no answer came, `backend_failed` for one that cannot be used.
 */
export class ComfyClient implements AsyncDisposable {
  readonly #address: BackendAddress;
  readonly #agent: Agent;

  constructor(address: BackendAddress) {
    this.#address = address;
    this.#agent = new Agent({
      connect: { timeout: 5_000 },
      headersTimeout: answerMs,
      bodyTimeout: idleMs,
      // A server that restarted has closed its sockets; an old one is not worth a failed request.
      keepAliveTimeout: 4_000,
    });
  }

  /**
   * Queues the prompt under the id that the caller chose. Not idempotent: after an error look for
   * the id in the queue and the history before trying again.
   *
   * @throws GatewayError `prompt_rejected` when the graph, or a part of it, is not accepted.
   */
  async submit(
    promptId: string,
    prompt: Prompt,
    clientId: string,
    signal: AbortSignal,
  ): Promise<void> {
    const body = { prompt, prompt_id: promptId, client_id: clientId };
    const { statusCode, text } = await this.#call('POST', '/prompt', signal, body);
    if (statusCode === 400) {
      const refused = promptRefused.safeParse(parsePythonJson(text)).data;
      if (refused) throw promptRejected(prompt, refused);
    }
    const accepted = read(statusCode, text, promptAccepted, 'take the prompt');
    if (Object.keys(accepted.node_errors).length > 0) {
      // The nodes without errors run all the same: whoever gets this error withdraws the prompt.
      const error = { type: 'partly_accepted', message: 'only a part of it can run' };
      throw promptRejected(prompt, promptRefused.parse({ ...accepted, error }));
    }
  }

  async queue(signal: AbortSignal): Promise<QueueState> {
    const { statusCode, text } = await this.#call('GET', '/queue', signal);
    const state = read(statusCode, text, queueState, 'list its queue');
    return {
      running: new Set(state.queue_running.map(([, id]) => id)),
      pending: new Set(state.queue_pending.map(([, id]) => id)),
    };
  }

  /** How the prompt ended, or `null`: pending, running, forgotten or never known. */
  async promptEnd(promptId: string, signal: AbortSignal): Promise<PromptEnd | null> {
    const { statusCode, text } = await this.#call('GET', `/history/${promptId}`, signal);
    const entry = read(statusCode, text, history, 'tell its history')[promptId];
    return entry ? promptEnd(entry) : null;
  }

  async forget(promptId: string, signal: AbortSignal): Promise<void> {
    await this.#command('/history', { delete: [promptId] }, signal);
  }

  /** Takes a pending prompt out of the queue; does nothing to one that runs. */
  async withdraw(promptId: string, signal: AbortSignal): Promise<void> {
    await this.#command('/queue', { delete: [promptId] }, signal);
  }

  /** Interrupts this prompt if it is the one that runs. It takes effect at the node's next tick. */
  async interrupt(promptId: string, signal: AbortSignal): Promise<void> {
    await this.#command('/interrupt', { prompt_id: promptId }, signal);
  }

  async version(signal: AbortSignal): Promise<string | null> {
    const { statusCode, text } = await this.#call('GET', '/system_stats', signal);
    return read(statusCode, text, systemStats, 'describe itself').system.comfyui_version ?? null;
  }

  /** Puts the file into the server's input folder and returns the name by which nodes find it. */
  async upload(file: InputFile, signal: AbortSignal): Promise<string> {
    const form = multipartFile({
      field: 'image',
      fileName: file.name,
      contentType: file.contentType,
      size: file.size,
      content: createReadStream(file.path),
      fields: { type: 'input', subfolder: file.subfolder, overwrite: 'true' },
    });
    const { statusCode, text } = await this.#send('/upload/image', signal, {
      method: 'POST',
      headers: form.headers,
      body: Readable.from(form.body),
      // The server answers when it has read everything.
      headersTimeout: idleMs + answerMs,
    });
    if (statusCode === 413) {
      throw new GatewayError(
        'backend_upload_refused',
        'The input is larger than the ComfyUI server accepts (its --max-upload-size)',
        { detail: text.slice(0, 300) },
      );
    }
    const { name, subfolder } = read(statusCode, text, uploadedFile, 'take the input');
    return subfolder ? `${subfolder}/${name}` : name;
  }

  /** Length of an output in bytes, or `null` when the server does not have it. */
  async outputSize(file: OutputFile, signal: AbortSignal): Promise<number | null> {
    const response = await this.#open('HEAD', this.#viewPath(file), signal);
    response.body.resume();
    if (response.statusCode === 404) return null;
    const size = Number(response.headers['content-length']);
    if (response.statusCode !== 200 || !Number.isSafeInteger(size)) {
      throw backendFailed('show the output', { status: response.statusCode });
    }
    return size;
  }

  /** The output's bytes, from `start` to `end` (both inclusive) or all of them. */
  async openOutput(
    file: OutputFile,
    range: { start: number; end: number } | null,
    signal: AbortSignal,
  ): Promise<Readable> {
    const headers = range ? { range: `bytes=${range.start}-${range.end}` } : {};
    const response = await this.#open('GET', this.#viewPath(file), signal, { headers });
    if (response.statusCode !== (range ? 206 : 200)) {
      response.body.resume();
      throw response.statusCode === 404
        ? new GatewayError('output_missing', 'The ComfyUI server no longer has the output')
        : backendFailed('send the output', { status: response.statusCode });
    }
    return response.body;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }

  #viewPath({ filename, subfolder, type }: OutputFile): string {
    return `/view?${new URLSearchParams({ filename, subfolder, type })}`;
  }

  async #command(path: string, body: unknown, signal: AbortSignal): Promise<void> {
    const { statusCode, text } = await this.#call('POST', path, signal, body);
    if (statusCode !== 200) throw backendFailed(`do ${path}`, { statusCode, text });
  }

  async #call(
    method: 'GET' | 'POST',
    path: string,
    signal: AbortSignal,
    json?: unknown,
  ): Promise<{ statusCode: number; text: string }> {
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(answerMs)]);
    const body = json === undefined ? {} : { body: JSON.stringify(json) };
    return await this.#send(path, deadline, {
      method,
      headers: { 'content-type': 'application/json' },
      ...body,
    }).catch((error) => {
      // Our own deadline is the server's fault, the caller's abort is not.
      signal.throwIfAborted();
      throw error instanceof GatewayError ? error : backendUnreachable(error);
    });
  }

  async #send(
    path: string,
    signal: AbortSignal,
    options: RequestOptions & { method: 'GET' | 'POST' },
  ): Promise<{ statusCode: number; text: string }> {
    const response = await this.#open(options.method, path, signal, options);
    try {
      return { statusCode: response.statusCode, text: await readText(response.body) };
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof GatewayError ? error : backendUnreachable(error);
    }
  }

  async #open(
    method: 'GET' | 'POST' | 'HEAD',
    path: string,
    signal: AbortSignal,
    options: RequestOptions = {},
  ): Promise<Dispatcher.ResponseData> {
    try {
      return await request(`${this.#address.origin}${this.#address.prefix}${path}`, {
        ...options,
        method,
        signal,
        dispatcher: this.#agent,
        headers: { ...this.#address.headers, ...options.headers },
      });
    } catch (error) {
      signal.throwIfAborted();
      throw backendUnreachable(error);
    }
  }
}

interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Readable;
  readonly headersTimeout?: number;
}

async function readText(body: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxJsonBytes) throw backendFailed('keep its answer short', { bytes });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function read<T extends z.ZodType>(
  statusCode: number,
  text: string,
  shape: T,
  what: string,
): z.output<T> {
  const unusable = () => backendFailed(what, { statusCode, text: text.slice(0, 1_000) });
  if (statusCode !== 200) throw unusable();
  let value: unknown;
  try {
    value = parsePythonJson(text);
  } catch {
    throw unusable();
  }
  const parsed = shape.safeParse(value);
  if (!parsed.success) throw unusable();
  return parsed.data;
}
