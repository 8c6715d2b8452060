import { setTimeout as delay } from 'node:timers/promises';

/** Resolves after so long, or as soon as the signal aborts: whoever stops is no failure. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => {});
}
