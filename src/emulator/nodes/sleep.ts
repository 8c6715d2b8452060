/** EmulatorSleep: holds the queue for a time and passes its image through. */
import { setTimeout as sleep } from 'node:timers/promises';
import { framesOf, type NodeClass, numberOf } from './node.ts';

export const emulatorSleep: NodeClass = {
  usesGpu: true,

  async run({ inputs, tick, signal }) {
    const ms = numberOf(inputs, 'seconds', 1) * 1000;
    const ticks = numberOf(inputs, 'ticks', 10);
    const startedAt = performance.now();
    for (let done = 1; done <= Math.max(1, ticks); done++) {
      const due = startedAt + (ms * done) / Math.max(1, ticks);
      await sleep(Math.max(0, due - performance.now()), undefined, { signal });
      if (ticks > 0) await tick(done, ticks);
    }
    return { outputs: [framesOf(inputs, 'image')] };
  },
};
