import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Backend } from '../../comfyui/backend.ts';
import type { ComfyMessage } from '../../comfyui/messages.ts';
import type { Prompt } from '../../core/bind.ts';
import type { StageProgress } from '../../core/stage.ts';
import type { Tempo } from '../../core/tempo.ts';
import { Alarm } from '../../timing/alarm.ts';
import type { EarlyMessages } from './early-messages.ts';
import { PromptProgress } from './prompt-progress.ts';

export interface HintedPrompt {
  readonly promptId: string;
  /** `null` for an adopted prompt: its progress is told without the nodes' titles. */
  readonly prompt: Prompt | null;
  readonly workflow: string;
  /** Whether it is sure to be there and to be new: otherwise HTTP is asked at once. */
  readonly isFresh: boolean;
  /** What was told of it before its hints are listened to. */
  readonly early?: EarlyMessages;
  readonly onProgress: (progress: StageProgress) => void;
  /** Called when the next prompt may be posted: the server has done with this one, or as good as. */
  readonly onGpuFree: () => void;
}

/** Listens to a prompt's messages: passes its progress on and wakes who waits when it may be over. */
export class PromptHints implements Disposable {
  readonly #backend: Backend;
  readonly #hinted: HintedPrompt;
  readonly #tempo: Tempo['prompt'];
  readonly #progress: PromptProgress;
  /** Rings when the prompt may be over. */
  readonly #alarm = new Alarm();
  #heardAt: number | null = null;
  #isEndAwaited: boolean;
  /** When its last node began. */
  #endingSince: number | null = null;

  constructor(backend: Backend, hinted: HintedPrompt, tempo: Tempo['prompt']) {
    this.#backend = backend;
    this.#hinted = hinted;
    this.#tempo = tempo;
    this.#progress = new PromptProgress(hinted.prompt);
    const { early } = hinted;
    this.#isEndAwaited = hinted.isFresh && backend.isListening && early?.isLost !== true;
    backend.on('message', this.#receive);
    backend.on('reconnected', this.#lose);
    for (const message of early?.take() ?? []) this.#receive(message);
  }

  /** When the last message about the prompt came (`performance.now()`). */
  get heardAt(): number | null {
    return this.#heardAt;
  }

  /** Resolves when it is worth looking: at a hint, or when the time has passed. */
  async next(timeoutMs: number, signal: AbortSignal): Promise<void> {
    const wasHinted = await this.#alarm.wait(timeoutMs, signal);
    signal.throwIfAborted();
    // Whoever has the GPU next posts before we ask for more.
    if (wasHinted) await nextTurn();
  }

  /** Whether the socket that is open is to be told of it, and has not been told its end. */
  get isEndAwaited(): boolean {
    return this.#isEndAwaited;
  }

  /** The prompt was posted for a socket that is gone: nothing more will be heard of it. */
  readonly #lose = () => {
    this.#heardAt = null;
    this.#isEndAwaited = false;
    this.#alarm.ring();
  };

  readonly #receive = (message: ComfyMessage) => {
    const { promptId, onProgress, onGpuFree } = this.#hinted;
    if (message.type === 'status' || message.data.prompt_id !== promptId) return;
    this.#heardAt = performance.now();
    if (message.type === 'execution_success') {
      this.#isEndAwaited = false;
      this.#succeeded();
      return onGpuFree();
    }
    if (isLast(message)) {
      this.#isEndAwaited = false;
      onGpuFree();
      return this.#alarm.ring();
    }
    const progress = this.#progress.follow(message);
    if (progress) onProgress(progress);
    if (this.#progress.isAtLastNode) this.#ending();
  };

  #ending(): void {
    const { workflow, onGpuFree } = this.#hinted;
    this.#endingSince ??= performance.now();
    const endingMs = this.#backend.runTimes.endingMs(workflow);
    // A server takes some milliseconds for a prompt, in which its GPU would be idle.
    if (endingMs !== null && endingMs <= this.#tempo.shortEndingMs) onGpuFree();
  }

  #succeeded(): void {
    if (this.#endingSince === null) return;
    const endingMs = performance.now() - this.#endingSince;
    this.#backend.runTimes.addEnding(this.#hinted.workflow, endingMs);
  }

  [Symbol.dispose](): void {
    this.#backend.off('message', this.#receive);
    this.#backend.off('reconnected', this.#lose);
  }
}

/** History is always there when `executing {node: null}` is; a success is told just before. */
function isLast(message: ComfyMessage): boolean {
  return message.type === 'executing' && message.data.node === null;
}
