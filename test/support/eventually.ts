import { setTimeout as delay } from 'node:timers/promises';

/** Repeats an assertion until it holds, and returns what it returns. */
export async function eventually<T>(holds: () => T | Promise<T>, withinMs = 60_000): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    try {
      return await holds();
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await delay(100);
  }
}
