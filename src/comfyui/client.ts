import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { Agent, type Dispatcher, request } from 'undici';
import type { z } from 'zod';
import type { Device } from '../core/backend.ts';
import type { Prompt } from '../core/bind.ts';
import { cutText } from '../core/cut-text.ts';
import { GatewayError } from '../core/errors.ts';
import type { NodeCatalogue } from '../core/node-catalogue.ts';
import { realTempo, type Tempo } from '../core/tempo.ts';
import {
  aboveFloor,
  type Floor,
  SpeedWatch,
  slowestBytesPerSecond,
  type WatchedStream,
} from '../timing/floor.ts';
import { wholeBodies } from '../transport/whole-bodies.ts';
import type { BackendAddress } from './address.ts';
import { type Answer, longAnswerBytes, readAnswer, shortAnswerBytes } from './answer.ts';
import { AnswerTimes } from './answer-times.ts';
import {
  backendFailed,
  backendUnreachable,
  inputRefused,
  inputRefusedInFront,
  isClassMissing,
  isOwnRefusal,
  promptRejected,
} from './errors.ts';
import { parsePythonJson } from './json.ts';
import { LongAnswers } from './long-answers.ts';
import {
  endedEntries,
  features,
  history,
  jobCanceled,
  jobList,
  nodeCatalogue,
  type OutputFile,
  objectInfo,
  type PromptEnd,
  promptAccepted,
  promptEnd,
  promptRefused,
  queueState,
  type RequeuedPrompt,
  requeuedPrompts,
  rootMark,
  type ServerFile,
  systemStats,
  uploadedFile,
} from './messages.ts';
import { multipartFile } from './multipart.ts';

/** Which of the ids asked about the server still has. */
export interface QueueState {
  readonly running: ReadonlySet<string>;
  readonly pending: ReadonlySet<string>;
  /** Those of both that a node has queued. */
  readonly requeued: readonly RequeuedPrompt[];
}

export interface ServerDescription {
  readonly version: string | null;
  readonly devices: readonly Device[];
}

export interface NewPrompt {
  /** A UUID of the caller's choice. */
  readonly id: string;
  readonly prompt: Prompt;
  /**
   * The nodes whose results are wanted. Others may be refused by themselves, as where a file of the
   * editor has previews of what is muted.
   */
  readonly outputs: readonly string[];
  /** Whose WebSocket hears of it. */
  readonly clientId: string;
  /** Whether a node of it may queue it again. */
  readonly queuesItself?: boolean;
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
  readonly #agent: Dispatcher;
  readonly #tempo: Tempo['comfyui'];
  readonly #floor: Floor;
  readonly #longAnswers: LongAnswers;
  /** For its answers that are no files. */
  readonly answerTimes = new AnswerTimes();

  /** Servers of one pool take turns with their long answers. */
  constructor(
    address: BackendAddress,
    tempo: Tempo['comfyui'] = realTempo.comfyui,
    longAnswers = new LongAnswers(tempo.longAnswerDeadlineMs),
  ) {
    const { serverName } = address;
    this.#address = address;
    this.#tempo = tempo;
    this.#longAnswers = longAnswers;
    this.#floor = { ...tempo, minBytesPerSecond: slowestBytesPerSecond };
    this.#agent = new Agent({
      connect: {
        timeout: tempo.connectDeadlineMs,
        ...(serverName ? { servername: serverName } : {}),
      },
      headersTimeout: tempo.answerDeadlineMs,
      bodyTimeout: tempo.idleDeadlineMs,
      keepAliveTimeout: tempo.keepAliveDeadlineMs,
    }).compose(wholeBodies);
  }

  /**
   * Queues the prompt under the id that the caller chose, and returns the server's count of prompts,
   * which begins again when the server does. Not idempotent: after an error look for the id in the
   * queue and the history before trying again.
   *
   * @throws GatewayError when the graph, or a wanted part of it, is not accepted:
   *   `workflow_unsupported` for want of a node or a file on this server, else `prompt_rejected`.
   */
  async submit(
    { id, prompt, outputs, clientId, queuesItself = false }: NewPrompt,
    signal: AbortSignal,
  ): Promise<number> {
    const mark = queuesItself ? { extra_data: { [rootMark]: id } } : {};
    const json = { prompt, prompt_id: id, client_id: clientId, ...mark };
    using answer = await this.#call('POST', '/prompt', signal, { json, maxBytes: longAnswerBytes });
    if (answer.statusCode === 400) {
      const refused = promptRefused.safeParse(parsed(answer.text)).data;
      if (refused) {
        const missing = isClassMissing(refused) ? await this.#missingClasses(prompt, signal) : [];
        throw promptRejected(prompt, refused, missing);
      }
    }
    const accepted = read(answer, promptAccepted, 'take the prompt');
    const faults = Object.values(accepted.node_errors);
    if (faults.some((fault) => fault.dependent_outputs.some((id) => outputs.includes(id)))) {
      // The nodes without errors run all the same: whoever gets this error withdraws the prompt.
      const error = { type: 'partly_accepted', message: 'only a part of it can run' };
      throw promptRejected(prompt, promptRefused.parse({ ...accepted, error }));
    }
    return accepted.number;
  }

  /** A server that lacks several classes names the first that it comes across. */
  async #missingClasses(prompt: Prompt, signal: AbortSignal): Promise<string[]> {
    const known = await this.nodeCatalogue(signal).catch(() => null);
    const classes = new Set(Object.values(prompt).map(({ class_type: className }) => className));
    return known ? [...classes].filter((className) => !known.has(className)) : [];
  }

  async queue(signal: AbortSignal): Promise<QueueState> {
    using answer = await this.#call('GET', '/queue', signal, { maxBytes: longAnswerBytes });
    const state = read(answer, queueState, 'list its queue');
    return {
      running: new Set(state.queue_running.map(([, id]) => id)),
      pending: new Set(state.queue_pending.map(([, id]) => id)),
      requeued: requeuedPrompts([...state.queue_running, ...state.queue_pending]),
    };
  }

  /** The prompts that nodes have queued after this one, in their order, as far as they are known still. */
  async requeuedAfter(promptId: string, signal: AbortSignal): Promise<string[]> {
    const { requeued } = await this.queue(signal);
    const path = `/history?max_items=${mostEnded}`;
    using answer = await this.#call('GET', path, signal, { maxBytes: longAnswerBytes });
    const ended = requeuedPrompts(read(answer, endedEntries, 'tell its history'));
    const numbers = new Map(
      [...ended, ...requeued]
        .filter(({ root }) => root === promptId)
        .map(({ id, number }) => [id, number]),
    );
    return [...numbers].sort(([, a], [, b]) => b - a).map(([id]) => id);
  }

  /** How the prompt ended, or `null`: pending, running, forgotten or never known. */
  async promptEnd(promptId: string, signal: AbortSignal): Promise<PromptEnd | null> {
    const limits = { maxBytes: longAnswerBytes };
    using answer = await this.#call('GET', `/history/${promptId}`, signal, limits);
    const entry = read(answer, history, 'tell its history')[promptId];
    return entry ? promptEnd(entry) : null;
  }

  async forget(promptId: string, signal: AbortSignal): Promise<void> {
    await this.#command('/history', { delete: [promptId] }, signal);
  }

  /** With all that nodes have queued after it. */
  async forgetAll(promptId: string, signal: AbortSignal): Promise<void> {
    const later = await this.requeuedAfter(promptId, signal);
    await this.#command('/history', { delete: [promptId, ...later] }, signal);
  }

  /** Takes a pending prompt out of the queue; does nothing to one that runs. */
  async withdraw(promptId: string, signal: AbortSignal): Promise<void> {
    await this.#command('/queue', { delete: [promptId] }, signal);
  }

  /** Interrupts this prompt if it is the one that runs. It takes effect at the node's next tick. */
  async interrupt(promptId: string, signal: AbortSignal): Promise<void> {
    await this.#command('/interrupt', { prompt_id: promptId }, signal);
  }

  /**
   * Cancels the prompt in one step, pending or running; `false` when it is neither. Only for servers
   * that have jobs.
   */
  async cancelJob(promptId: string, signal: AbortSignal): Promise<boolean> {
    const path = `/api/jobs/${promptId}/cancel`;
    using answer = await this.#call('POST', path, signal, { json: {} });
    if (isUnknownRoute(answer.statusCode)) return false;
    return read(answer, jobCanceled, 'cancel the prompt').cancelled;
  }

  /** Whether the server is new enough to know prompts as jobs. */
  async hasJobs(signal: AbortSignal): Promise<boolean> {
    using answer = await this.#call('GET', '/api/jobs?limit=1', signal);
    const { statusCode, text } = answer;
    if (statusCode >= 500) throw backendFailed('list its jobs', { statusCode, text });
    // Some put their web page in place of what they do not know.
    return statusCode === 200 && jobList.safeParse(parsed(text)).success;
  }

  /** Lets go of models and of what is kept of the last prompt, as soon as no prompt runs. */
  async freeMemory(signal: AbortSignal): Promise<void> {
    await this.#command('/free', { unload_models: true, free_memory: true }, signal);
  }

  async describe(signal: AbortSignal): Promise<ServerDescription> {
    using answer = await this.#call('GET', '/system_stats', signal);
    const { system, devices } = read(answer, systemStats, 'describe itself');
    return {
      version: system.comfyui_version ?? null,
      devices: devices.map(({ name, vram_total, vram_free }) => ({
        name,
        memoryTotal: vram_total,
        memoryFree: vram_free,
      })),
    };
  }

  /** The node classes that it has, and the files that their inputs may name. */
  async nodeCatalogue(signal: AbortSignal): Promise<NodeCatalogue> {
    const limits = {
      deadlineMs: this.#tempo.catalogueDeadlineMs,
      maxBytes: longAnswerBytes,
    };
    using answer = await this.#call('GET', '/object_info', signal, limits);
    const info = read(answer, objectInfo, 'list its nodes');
    // No server is without nodes; something else has answered.
    if (Object.keys(info).length === 0) throw unreadable('list its nodes', answer, 'it has none');
    try {
      return nodeCatalogue(info);
    } catch (error) {
      throw unreadable('list its nodes', answer, (error as RangeError).message);
    }
  }

  /** The largest request that it takes, an upload with what is around the file; `null`: unknown. */
  async maxUploadBytes(signal: AbortSignal): Promise<number | null> {
    using answer = await this.#call('GET', '/features', signal);
    if (isUnknownRoute(answer.statusCode)) return null;
    const { max_upload_size } = read(answer, features, 'tell its limits');
    return max_upload_size === undefined ? null : Math.floor(max_upload_size);
  }

  /**
   * Puts the file into the server's input folder and returns the name by which nodes find it. `maxBytes`:
   * how much the server says that it takes.
   */
  async upload(
    file: InputFile,
    signal: AbortSignal,
    maxBytes: number | null = null,
  ): Promise<string> {
    const halt = new AbortController();
    const watch = new SpeedWatch(this.#floor, () => halt.abort());
    const form = multipartFile({
      field: 'image',
      fileName: file.name,
      contentType: file.contentType,
      size: file.size,
      content: givenTo(watch, createReadStream(file.path)),
      fields: { type: 'input', subfolder: file.subfolder, overwrite: 'true' },
    });
    // The server answers when it has read everything.
    const headersTimeout = this.#tempo.idleDeadlineMs + this.#tempo.answerDeadlineMs;
    const sendingMs = Math.ceil((file.size / slowestBytesPerSecond) * 1_000);
    const late = AbortSignal.any([halt.signal, AbortSignal.timeout(headersTimeout + sendingMs)]);
    const send = async (): Promise<Answer> => {
      const until = AbortSignal.any([signal, late]);
      const body = Readable.from(form.body);
      const { headers } = form;
      const options = { headers, body, headersTimeout };
      const response = await this.#open('POST', '/upload/image', until, options);
      const answering = AbortSignal.timeout(this.#tempo.answerDeadlineMs);
      answering.addEventListener('abort', () => halt.abort());
      return await this.#read(response, shortAnswerBytes, signal, late);
    };
    using answer = await send().catch((error) => {
      signal.throwIfAborted();
      throw late.aborted ? backendFailed('take the input in time', { bytes: file.size }) : error;
    });
    if (answer.statusCode === 413) {
      const said = cutText(answer.text, 300);
      if (isOwnRefusal(said)) throw inputRefused(file.size, null, said);
      throw inputRefusedInFront(file.size, maxBytes, said);
    }
    const { name, subfolder } = read(answer, uploadedFile, 'take the input');
    return subfolder ? `${subfolder}/${name}` : name;
  }

  /** Length of a file in bytes, an output or another; `null` when the server does not have it. */
  async fileSize(file: ServerFile, signal: AbortSignal): Promise<number | null> {
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
  ): Promise<WatchedStream> {
    const headers = range ? { range: `bytes=${range.start}-${range.end}` } : {};
    const response = await this.#open('GET', this.#viewPath(file), signal, { headers });
    if (response.statusCode !== (range ? 206 : 200)) {
      response.body.on('error', () => {}).destroy();
      throw response.statusCode === 404
        ? new GatewayError('output_missing', 'The ComfyUI server no longer has the output')
        : backendFailed('send the output', { status: response.statusCode });
    }
    return aboveFloor(response.body, this.#floor, () =>
      backendFailed('send the output fast enough', this.#floor),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }

  #viewPath({ filename, subfolder, type }: ServerFile): string {
    return `/view?${new URLSearchParams({ filename, subfolder, type })}`;
  }

  async #command(path: string, json: unknown, signal: AbortSignal): Promise<void> {
    using answer = await this.#call('POST', path, signal, { json });
    const { statusCode, text } = answer;
    if (statusCode !== 200) throw backendFailed(`do ${path}`, { statusCode, text });
  }

  async #call(
    method: 'GET' | 'POST',
    path: string,
    signal: AbortSignal,
    {
      json,
      deadlineMs = this.#tempo.answerDeadlineMs,
      maxBytes = shortAnswerBytes,
    }: CallOptions = {},
  ): Promise<Answer> {
    const deadline = AbortSignal.timeout(deadlineMs);
    const options = {
      headers: { 'content-type': 'application/json' },
      headersTimeout: deadlineMs,
      ...(json === undefined ? {} : { body: JSON.stringify(json) }),
    };
    const askedAt = performance.now();
    try {
      const response = await this.#open(method, path, AbortSignal.any([signal, deadline]), options);
      return await this.#read(response, maxBytes, signal, deadline);
    } catch (error) {
      // Our own deadline is the server's fault, the caller's abort is not.
      signal.throwIfAborted();
      throw error instanceof GatewayError ? error : backendUnreachable(error);
    } finally {
      this.answerTimes.add(performance.now() - askedAt);
    }
  }

  async #read(
    response: Dispatcher.ResponseData,
    maxBytes: number,
    signal: AbortSignal,
    deadline: AbortSignal,
  ): Promise<Answer> {
    const until = AbortSignal.any([signal, deadline]);
    try {
      return await readAnswer(response, maxBytes, this.#longAnswers, until);
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

/** A clip of an hour in batches of some seconds. */
const mostEnded = 1_000;

interface CallOptions {
  readonly json?: unknown;
  readonly deadlineMs?: number;
  readonly maxBytes?: number;
}

interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Readable;
  readonly headersTimeout?: number;
}

/** The file as the server takes it, which is judged by that. */
async function* givenTo(watch: SpeedWatch, file: Readable): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of file as AsyncIterable<Buffer>) {
      watch.waiting();
      yield chunk;
      watch.moved(chunk.length);
    }
  } finally {
    watch.stop();
  }
}

/** What a server answers that does not have the route, or not for this method. */
function isUnknownRoute(statusCode: number): boolean {
  return statusCode === 404 || statusCode === 405;
}

function read<T extends z.ZodType>(answer: Answer, shape: T, what: string): z.output<T> {
  const { statusCode, text } = answer;
  if (statusCode === 413 && !isOwnRefusal(text)) throw unreadable(what, answer, tooLargeInFront);
  if (statusCode !== 200) throw unreadable(what, answer, `status ${statusCode}`);
  const { data } = shape.safeParse(parsed(text));
  if (data === undefined) throw unreadable(what, answer, 'it is no answer of ComfyUI');
  return data;
}

const tooLargeInFront = 'something in front of it takes no request so large (status 413)';

function unreadable(what: string, { statusCode, text }: Answer, why: string): GatewayError {
  return backendFailed(what, { statusCode, text: cutText(text, 1_000) }, why);
}

/** `undefined` for what is not JSON. */
function parsed(text: string): unknown {
  try {
    return parsePythonJson(text);
  } catch {
    return undefined;
  }
}
