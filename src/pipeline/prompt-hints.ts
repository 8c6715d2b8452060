import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import type { Backend } from '../comfyui/backend.ts';
import type { ComfyMessage } from '../comfyui/messages.ts';
import type { StageProgress } from '../core/stage.ts';
import type { Prompt } from '../core/workflow.ts';
import { PromptProgress } from './prompt-progress.ts';

export interface HintedPrompt {
  readonly promptId: string;
  readonly prompt: Prompt | null;
  readonly onProgress: (progress: StageProgress) => void;
  readonly onGpuFree: () => void;
}

/** Listens to a prompt's messages: passes its progress on and wakes who waits when it may be over. */
export class PromptHints implements Disposable {
  readonly #backend: Backend;
  readonly #hinted: HintedPrompt;
  readonly #progress: PromptProgress;
  #mayBeOver = Promise.withResolvers<void>();
  #heardAt: number | null = null;

  constructor(backend: Backend, hinted: HintedPrompt) {
    this.#backend = backend;
    this.#hinted = hinted;
    this.#progress = new PromptProgress(hinted.prompt);
    backend.on('message', this.#receive);
    backend.on('reconnected', this.#lose);
  }

  /** When the last message about the prompt came (`performance.now()`). */
  get heardAt(): number | null {
    return this.#heardAt;
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
    if (!wasHinted) return;
    this.#mayBeOver = Promise.withResolvers<void>();
    // Whoever has the GPU next posts before we ask for more.
    await nextTurn();
  }

  readonly #wake = () => this.#mayBeOver.resolve();

  /** The prompt was posted for a socket that is gone: nothing more will be heard of it. */
  readonly #lose = () => {
    this.#heardAt = null;
    this.#wake();
  };

  readonly #receive = (message: ComfyMessage) => {
    const { promptId, onProgress, onGpuFree } = this.#hinted;
    if (message.type === 'status' || message.data.prompt_id !== promptId) return;
    this.#heardAt = performance.now();
    if (isLast(message) || message.type === 'execution_success') onGpuFree();
    if (isLast(message)) return this.#wake();
    const progress = this.#progress.follow(message);
    if (progress) onProgress(progress);
  };

  [Symbol.dispose](): void {
    this.#backend.off('message', this.#receive);
    this.#backend.off('reconnected', this.#lose);
  }
}

/**
 * History is always there when `executing {node: null}` is. A success is told before that: nothing is
 * left to run then, and what is posted meanwhile is not held up by the server's bookkeeping.
 */
function isLast(message: ComfyMessage): boolean {
  return message.type === 'executing' && message.data.node === null;
}
