import { setTimeout as delay } from 'node:timers/promises';
import type { Backend } from '../comfyui/backend.ts';
import { doubledMs } from '../core/backoff.ts';
import type { Tempo } from '../core/tempo.ts';

/**
 * Takes exactly this prompt off a backend, wherever it is, and returns when the backend confirms that
 * it is neither queued nor running. A backend that knows prompts as jobs cancels in one step; another
 * is asked to drop it if it is pending and to interrupt it if it runs. An interrupt may be lost (it is,
 * between the moment a prompt is taken from the queue and its first node) or wait for the node's next
 * tick, so it is repeated. What its nodes have queued goes with it.
 *
 * @throws GatewayError `backend_unreachable` or `backend_failed`; the signal's reason.
 */
export async function withdrawPrompt(
  { client, hasJobs }: Pick<Backend, 'client' | 'hasJobs'>,
  promptId: string,
  { firstWithdrawPauseMs, longestWithdrawPauseMs }: Tempo['attempt'],
  signal: AbortSignal,
): Promise<void> {
  const pauses = { firstPauseMs: firstWithdrawPauseMs, longestPauseMs: longestWithdrawPauseMs };
  for (let tries = 0; ; tries += 1) {
    const isCanceled = hasJobs && (await client.cancelJob(promptId, signal));
    if (!isCanceled) await client.withdraw(promptId, signal);
    const { running, pending, requeued } = await client.queue(signal);
    const later = requeued.filter(({ root }) => root === promptId);
    if (!running.has(promptId) && !pending.has(promptId) && later.length === 0) return;
    if (!isCanceled && running.has(promptId)) await client.interrupt(promptId, signal);
    for (const { id } of later) {
      if (running.has(id)) await client.interrupt(id, signal);
      else await client.withdraw(id, signal);
    }
    await delay(doubledMs(tries, pauses), undefined, { signal });
  }
}
