import type { Backend } from '../../comfyui/backend.ts';
import { executionFailed } from '../../comfyui/errors.ts';
import type { MadeByNodes, PromptEnd } from '../../comfyui/messages.ts';
import type { Prompt } from '../../core/bind.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Tempo } from '../../core/tempo.ts';
import { type HintedPrompt, PromptHints } from './prompt-hints.ts';
import { PromptWatch, type WatchedPrompt } from './prompt-watch.ts';

export interface AwaitedPrompt extends WatchedPrompt, HintedPrompt {}

/**
 * Follows a prompt to its end. The WebSocket only says when to look; `/history` and `/queue` say what is
 * true.
 *
 * @throws GatewayError `prompt_lost` (neither queued nor in the history), `backend_unreachable`,
 *   `backend_wedged`, `backend_stalled`, `run_timeout`.
 */
export async function promptEnd(
  backend: Backend,
  awaited: AwaitedPrompt,
  tempo: Tempo['prompt'],
  signal: AbortSignal,
): Promise<PromptEnd> {
  using hints = new PromptHints(backend, awaited, tempo);
  const watch = new PromptWatch(awaited, tempo);
  if (awaited.isFresh) await hints.next(watch.nextLookMs, signal);
  for (;;) {
    try {
      const end = await backend.client.promptEnd(awaited.promptId, signal);
      if (end) {
        if (hints.isEndAwaited) backend.expectEnd(awaited.promptId);
        awaited.onGpuFree();
        return end;
      }
      watch.looked(await backend.client.queue(signal));
    } catch (error) {
      if (!isSilence(error)) throw error;
      watch.unanswered(error);
    }
    await watch.check(hints.heardAt);
    await hints.next(watch.nextLookMs, signal);
  }
}

/**
 * Follows a prompt to its end and returns what its nodes made.
 *
 * @throws GatewayError as {@link promptEnd}; `execution_failed`, `out_of_memory`,
 *   `execution_interrupted`.
 */
export async function awaitPrompt(
  backend: Backend,
  awaited: AwaitedPrompt,
  tempo: Tempo['prompt'],
  signal: AbortSignal,
): Promise<MadeByNodes> {
  return successOf(await promptEnd(backend, awaited, tempo, signal), awaited.prompt).made;
}

export function isSilence(error: unknown): boolean {
  return (
    error instanceof GatewayError &&
    (error.code === 'backend_unreachable' || error.code === 'backend_failed')
  );
}

type Success = Extract<PromptEnd, { readonly kind: 'success' }>;

export function successOf(end: PromptEnd, prompt: Prompt | null): Success {
  if (end.kind === 'success') return end;
  if (end.kind === 'error') throw executionFailed(end.error, prompt);
  throw new GatewayError('execution_interrupted', 'The task was interrupted on its ComfyUI server');
}
