import type { QueueState } from '../../comfyui/client.ts';
import { isRefused } from '../../comfyui/errors.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Tempo } from '../../core/tempo.ts';

/** A prompt may be without a sign of life for this many times what its workflow takes in all. */
const stallFactor = 4;

export interface WatchedPrompt {
  readonly promptId: string;
  /** How long its workflow takes, milliseconds; `null` when that is not known yet. */
  readonly learnedMs: Promise<number | null>;
  /** How long it may still take; `null` without a limit. */
  readonly leftMs: number | null;
}

/** What reads over HTTP that follow each other tell together. */
export class PromptWatch {
  readonly #prompt: WatchedPrompt;
  readonly #tempo: Tempo['prompt'];
  readonly #now: () => number;
  readonly #startedAt: number;
  #answeredAt: number;
  /** When it was last found to wait behind other prompts. */
  #pendingAt = Number.NEGATIVE_INFINITY;
  #absentSince: number | null = null;
  #idleSince: number | null = null;

  /** `now` is a clock that never goes back, in milliseconds. */
  constructor(prompt: WatchedPrompt, tempo: Tempo['prompt'], now = () => performance.now()) {
    this.#prompt = prompt;
    this.#tempo = tempo;
    this.#now = now;
    this.#startedAt = now();
    this.#answeredAt = this.#startedAt;
  }

  /** When to look again, without a hint. */
  get nextLookMs(): number {
    const { pollMs, absentMs } = this.#tempo;
    const usual = this.#absentSince === null ? pollMs : absentMs;
    return Math.max(0, Math.min(usual, this.#leftMs));
  }

  /** @throws GatewayError `prompt_lost`, `backend_wedged`. */
  looked({ running, pending }: Pick<QueueState, 'running' | 'pending'>): void {
    const { promptId } = this.#prompt;
    const { absentMs, wedgedAfterMs } = this.#tempo;
    const now = this.#now();
    this.#answeredAt = now;
    if (pending.has(promptId)) this.#pendingAt = now;
    const isKnown = running.has(promptId) || pending.has(promptId);
    this.#absentSince = isKnown ? null : (this.#absentSince ?? now);
    if (this.#absentSince !== null && now - this.#absentSince >= absentMs) {
      throw lost('The ComfyUI server lost the task; it has restarted');
    }
    this.#idleSince = pending.size > 0 && running.size === 0 ? (this.#idleSince ?? now) : null;
    if (this.#idleSince !== null && now - this.#idleSince >= wedgedAfterMs) {
      throw new GatewayError('backend_wedged', 'The ComfyUI server has stopped running prompts');
    }
  }

  /** @throws GatewayError `prompt_lost`; the error, when the server has been silent for too long. */
  unanswered(error: unknown): void {
    const { refusedAfterMs, lostAfterMs } = this.#tempo;
    const silentMs = this.#now() - this.#answeredAt;
    if (isRefused(error) && silentMs > refusedAfterMs) {
      throw lost('The ComfyUI server went down while it had the task', error);
    }
    if (silentMs > lostAfterMs) throw error;
  }

  /**
   * `heardAt`: when the prompt last gave a sign of life. Whose messages never came, because the socket
   * is deaf or the prompt is another connection's, may be well: silence says nothing of it.
   *
   * @throws GatewayError `run_timeout`, `backend_stalled`.
   */
  async check(heardAt: number | null): Promise<void> {
    if (this.#leftMs <= 0) {
      throw new GatewayError('run_timeout', 'The task took longer than it may');
    }
    const learnedMs = await this.#prompt.learnedMs.catch(() => null);
    if (learnedMs === null || heardAt === null) return;
    // Behind the prompts of others it has no reason to give any.
    const silentMs = this.#now() - Math.max(heardAt, this.#pendingAt);
    if (silentMs > Math.max(this.#tempo.stallAtLeastMs, learnedMs * stallFactor)) {
      throw new GatewayError('backend_stalled', 'The ComfyUI server makes no progress');
    }
  }

  get #leftMs(): number {
    const { leftMs } = this.#prompt;
    return leftMs === null ? Number.POSITIVE_INFINITY : leftMs - (this.#now() - this.#startedAt);
  }
}

function lost(message: string, cause?: unknown): GatewayError {
  return new GatewayError('prompt_lost', message, { cause });
}
