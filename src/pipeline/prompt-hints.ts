import { setTimeout as delay } from 'node:timers/promises';
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
  readonly #clientId: string;
  #mayBeOver = Promise.withResolvers<void>();
  #heardAt: number | null = null;

  constructor(backend: Backend, hinted: HintedPrompt) {
    this.#backend = backend;
    this.#hinted = hinted;
    this.#clientId = backend.clientId;
    this.#progress = new PromptProgress(hinted.prompt);
    backend.on('message', this.#receive);
    backend.on('reconnected', this.#wake);
  }

  /** When the last message about the prompt came (`performance.now()`). */
  get heardAt(): number | null {
    return this.#heardAt;
  }

  /** Whether a socket that was open all the time said nothing. */
  get isDeaf(): boolean {
    return this.#heardAt === null && this.#backend.clientId === this.#clientId;
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
    const { promptId, onProgress, onGpuFree } = this.#hinted;
    if (message.type === 'status' || message.data.prompt_id !== promptId) return;
    this.#heardAt = performance.now();
    if (isLast(message)) {
      onGpuFree();
      return this.#wake();
    }
    const progress = this.#progress.follow(message);
    if (progress) onProgress(progress);
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
