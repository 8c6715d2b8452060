import { setTimeout as delay } from 'node:timers/promises';
import type { Backend } from '../comfyui/backend.ts';
import { executionFailed } from '../comfyui/errors.ts';
import type { ComfyMessage, OutputFile, PromptEnd } from '../comfyui/messages.ts';
import { GatewayError } from '../core/errors.ts';
import type { StageProgress } from '../core/stage.ts';
import type { Prompt } from '../core/workflow.ts';
import { PromptProgress } from './prompt-progress.ts';

/** HTTP is asked this often even if the WebSocket is silent: it may be deaf. */
const pollMs = 2_000;
/** A server that does not answer for so long is lost, and with it the prompt. */
const lostAfterMs = 30_000;
/** Two reads that agree, at least so far apart, tell that a prompt is gone. */
const absentMs = 1_000;

export interface AwaitedPrompt {
  readonly promptId: string;
  /** `null` for an adopted prompt: its progress is told without the nodes' titles. */
  readonly prompt: Prompt | null;
  /** The folder that only this attempt writes to. */
  readonly outputFolder: string;
  readonly onProgress: (progress: StageProgress) => void;
  /** Called as soon as the server says that it has done with the prompt, before that is verified. */
  readonly onGpuFree: () => void;
}

/**
 * Follows a prompt to its end and returns the file that it wrote. The WebSocket only says when to
 * look; `/history` and `/queue` say what is true.
 *
 * @throws GatewayError `execution_failed`, `out_of_memory`, `execution_interrupted`,
 *   `output_missing`, `prompt_lost` (neither queued nor in the history), `backend_unreachable`.
 */
export async function awaitPrompt(
  backend: Backend,
  awaited: AwaitedPrompt,
  signal: AbortSignal,
): Promise<OutputFile> {
  using hints = new PromptHints(backend, awaited);
  const { promptId } = awaited;
  let answeredAt = Date.now();
  let absentSince: number | null = null;
  for (;;) {
    try {
      const end = await backend.client.promptEnd(promptId, signal);
      if (end) return resultOf(end, awaited.outputFolder);
      const queue = await backend.client.queue(signal);
      answeredAt = Date.now();
      const isKnown = queue.running.has(promptId) || queue.pending.has(promptId);
      absentSince = isKnown ? null : (absentSince ?? answeredAt);
      if (absentSince !== null && answeredAt - absentSince >= absentMs) {
        throw new GatewayError('prompt_lost', 'The ComfyUI server lost the task; it has restarted');
      }
    } catch (error) {
      if (!isSilence(error) || Date.now() - answeredAt > lostAfterMs) throw error;
    }
    await hints.next(absentSince === null ? pollMs : absentMs, signal);
  }
}

function isSilence(error: unknown): boolean {
  return (
    error instanceof GatewayError &&
    (error.code === 'backend_unreachable' || error.code === 'backend_failed')
  );
}

function resultOf(end: PromptEnd, folder: string): OutputFile {
  if (end.kind === 'error') throw executionFailed(end.error);
  if (end.kind === 'interrupted') {
    throw new GatewayError(
      'execution_interrupted',
      'The task was interrupted on its ComfyUI server',
    );
  }
  // By folder, not by node: it is ours alone, so no cached file of an earlier run can be in it.
  const file = end.files.find(({ subfolder, type }) => subfolder === folder && type === 'output');
  if (!file || !isPlainName(file.filename)) {
    throw new GatewayError('output_missing', 'The workflow ended without writing a result', {
      detail: end.files,
    });
  }
  return file;
}

/** What a server calls its files is its own claim. */
function isPlainName(name: string): boolean {
  return name.length > 0 && !/[/\\\0]/.test(name) && name !== '.' && name !== '..';
}

/** Listens to a prompt's messages: passes its progress on and wakes who waits when it may be over. */
class PromptHints implements Disposable {
  readonly #backend: Backend;
  readonly #promptId: string;
  readonly #progress: PromptProgress;
  readonly #onProgress: (progress: StageProgress) => void;
  readonly #onGpuFree: () => void;
  #mayBeOver = Promise.withResolvers<void>();

  constructor(backend: Backend, awaited: AwaitedPrompt) {
    this.#backend = backend;
    this.#promptId = awaited.promptId;
    this.#progress = new PromptProgress(awaited.prompt);
    this.#onProgress = awaited.onProgress;
    this.#onGpuFree = awaited.onGpuFree;
    backend.on('message', this.#receive);
    backend.on('reconnected', this.#wake);
  }

  /** Resolves when it is worth looking: at a hint, or when the time has passed. */
  async next(timeoutMs: number, signal: AbortSignal): Promise<void> {
    const timer = new AbortController();
    const elapsed = delay(timeoutMs, undefined, {
      signal: AbortSignal.any([signal, timer.signal]),
    }).catch(() => {});
    const hinted = this.#mayBeOver.promise.then(() => true);
    const wasHinted = await Promise.race([hinted, elapsed]);
    timer.abort();
    signal.throwIfAborted();
    if (wasHinted) this.#mayBeOver = Promise.withResolvers<void>();
  }

  readonly #wake = () => this.#mayBeOver.resolve();

  readonly #receive = (message: ComfyMessage) => {
    if (message.type === 'status' || message.data.prompt_id !== this.#promptId) return;
    if (isLast(message)) {
      this.#onGpuFree();
      return this.#wake();
    }
    const progress = this.#progress.follow(message);
    if (progress) this.#onProgress(progress);
  };

  [Symbol.dispose](): void {
    this.#backend.off('message', this.#receive);
    this.#backend.off('reconnected', this.#wake);
  }
}

/** History is always there when `executing {node: null}` is. */
function isLast(message: ComfyMessage): boolean {
  return message.type === 'executing' && message.data.node === null;
}
