import type { Backend } from '../comfyui/backend.ts';
import { executionFailed, isRefused } from '../comfyui/errors.ts';
import type { OutputFile, PromptEnd } from '../comfyui/messages.ts';
import { GatewayError } from '../core/errors.ts';
import type { StageProgress } from '../core/stage.ts';
import type { Prompt } from '../core/workflow.ts';
import { PromptHints } from './prompt-hints.ts';

/** HTTP is asked this often even if the WebSocket is silent: it may be deaf. */
const pollMs = 2_000;
/** A server that does not answer for so long is lost, and with it the prompt. */
const lostAfterMs = 30_000;
/** One that refuses connections is not running, and what it had is gone. */
const refusedAfterMs = 3_000;
/** Two reads that agree, at least so far apart, tell that a prompt is gone. */
const absentMs = 1_000;
/** A server that has pending prompts and runs none for so long has lost the thread that runs them. */
const wedgedAfterMs = 5_000;
/** A prompt may be without a sign of life for this many times what its workflow takes in all… */
const stallFactor = 4;
/** … but at least so long: a model may have to be loaded first. */
const stallAtLeastMs = 60_000;

export interface AwaitedPrompt {
  readonly promptId: string;
  /** `null` for an adopted prompt: its progress is told without the nodes' titles. */
  readonly prompt: Prompt | null;
  /** Whether it is sure to be there and to be new: otherwise HTTP is asked at once. */
  readonly isFresh: boolean;
  /** The folder that only this attempt writes to. */
  readonly outputFolder: string;
  /** How long its workflow takes, milliseconds; `null` when that is not known yet. */
  readonly learnedMs: Promise<number | null>;
  /** How long it may still take; `null` without a limit. */
  readonly leftMs: number | null;
  readonly onProgress: (progress: StageProgress) => void;
  /** Called as soon as the server says that it has done with the prompt, before that is verified. */
  readonly onGpuFree: () => void;
}

/**
 * Follows a prompt to its end and returns the file that it wrote. The WebSocket only says when to
 * look; `/history` and `/queue` say what is true.
 *
 * @throws GatewayError `execution_failed`, `out_of_memory`, `execution_interrupted`,
 *   `output_missing`, `prompt_lost` (neither queued nor in the history), `backend_unreachable`,
 *   `backend_wedged`, `backend_stalled`, `run_timeout`.
 */
export async function awaitPrompt(
  backend: Backend,
  awaited: AwaitedPrompt,
  signal: AbortSignal,
): Promise<OutputFile> {
  using hints = new PromptHints(backend, awaited);
  const watch = new PromptWatch(awaited);
  if (awaited.isFresh) await hints.next(watch.nextLookMs, signal);
  for (;;) {
    try {
      const end = await backend.client.promptEnd(awaited.promptId, signal);
      if (end) {
        awaited.onGpuFree();
        if (awaited.isFresh && hints.isDeaf) backend.socketIsDeaf();
        return resultOf(end, awaited);
      }
      watch.looked(await backend.client.queue(signal), awaited.promptId);
    } catch (error) {
      if (!isSilence(error)) throw error;
      watch.unanswered(error);
    }
    await watch.check(hints.heardAt);
    await hints.next(watch.nextLookMs, signal);
  }
}

/** What reads over HTTP that follow each other tell together. */
class PromptWatch {
  readonly #awaited: AwaitedPrompt;
  readonly #startedAt = performance.now();
  #answeredAt = performance.now();
  #absentSince: number | null = null;
  #idleSince: number | null = null;

  constructor(awaited: AwaitedPrompt) {
    this.#awaited = awaited;
  }

  /** When to look again, without a hint. */
  get nextLookMs(): number {
    const usual = this.#absentSince === null ? pollMs : absentMs;
    return Math.max(0, Math.min(usual, this.#leftMs));
  }

  /** @throws GatewayError `prompt_lost`, `backend_wedged`. */
  looked(
    { running, pending }: { running: ReadonlySet<string>; pending: ReadonlySet<string> },
    promptId: string,
  ): void {
    const now = performance.now();
    this.#answeredAt = now;
    const isKnown = running.has(promptId) || pending.has(promptId);
    this.#absentSince = isKnown ? null : (this.#absentSince ?? now);
    if (this.#absentSince !== null && now - this.#absentSince >= absentMs) {
      throw new GatewayError('prompt_lost', 'The ComfyUI server lost the task; it has restarted');
    }
    this.#idleSince = pending.size > 0 && running.size === 0 ? (this.#idleSince ?? now) : null;
    if (this.#idleSince !== null && now - this.#idleSince >= wedgedAfterMs) {
      throw new GatewayError('backend_wedged', 'The ComfyUI server has stopped running prompts');
    }
  }

  /** @throws the error, when the server has been silent for too long. */
  unanswered(error: unknown): void {
    const silentMs = performance.now() - this.#answeredAt;
    if (silentMs > (isRefused(error) ? refusedAfterMs : lostAfterMs)) throw error;
  }

  /** @throws GatewayError `run_timeout`, `backend_stalled`. */
  async check(heardAt: number | null): Promise<void> {
    if (this.#leftMs <= 0) {
      throw new GatewayError('run_timeout', 'The task took longer than it may');
    }
    const learnedMs = await this.#awaited.learnedMs.catch(() => null);
    if (learnedMs === null) return;
    const silentMs = performance.now() - Math.max(this.#startedAt, heardAt ?? 0);
    if (silentMs > Math.max(stallAtLeastMs, learnedMs * stallFactor)) {
      throw new GatewayError('backend_stalled', 'The ComfyUI server makes no progress');
    }
  }

  get #leftMs(): number {
    const { leftMs } = this.#awaited;
    return leftMs === null
      ? Number.POSITIVE_INFINITY
      : leftMs - (performance.now() - this.#startedAt);
  }
}

function isSilence(error: unknown): boolean {
  return (
    error instanceof GatewayError &&
    (error.code === 'backend_unreachable' || error.code === 'backend_failed')
  );
}

function resultOf(end: PromptEnd, { prompt, outputFolder }: AwaitedPrompt): OutputFile {
  if (end.kind === 'error') throw executionFailed(end.error, prompt);
  if (end.kind === 'interrupted') {
    throw new GatewayError(
      'execution_interrupted',
      'The task was interrupted on its ComfyUI server',
    );
  }
  // By folder, not by node: it is ours alone, so no cached file of an earlier run can be in it.
  const file = end.files.find(
    ({ subfolder, type }) => subfolder === outputFolder && type === 'output',
  );
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
