import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
export const collectGarbage: () => void = runInNewContext('gc');

const everyBytes = 8 * 1024 * 1024;

/**
 * Watches how much memory Buffers take while bytes pass. It collects garbage before it looks, because how
 * much of that there is depends on how busy the machine is.
 */
export class LiveMemory {
  readonly #before = liveBytes();
  #next = everyBytes;
  /** The most that there was beyond what there was at first, bytes. */
  grownBytes = 0;

  /** So many bytes have passed. */
  passed(bytes: number): void {
    if (bytes < this.#next) return;
    this.#next = bytes + everyBytes;
    this.grownBytes = Math.max(this.grownBytes, liveBytes() - this.#before);
  }
}

function liveBytes(): number {
  collectGarbage();
  return process.memoryUsage().arrayBuffers;
}
