import { setTimeout as delay } from 'node:timers/promises';
import { patienceMs } from './patience.ts';

/** Repeats an assertion until it holds, and returns what it returns. */
export async function eventually<T>(
  holds: () => T | Promise<T>,
  withinMs = patienceMs,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    try {
      return await holds();
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await delay(25);
  }
}
