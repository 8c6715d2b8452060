/** VideoHelperSuite's VHS_BatchManager: a clip is worked on in batches, one prompt each. */
import type { Frame } from '../frames.ts';
import { type Inputs, type NodeClass, numberOf } from './node.ts';

/** What lies between the prompts of one clip. */
export class Batch {
  readonly size: number;
  /** How many frames were read. */
  loaded = 0;
  /** Whether there are no more. */
  isClosed = false;
  /** What is to be written. */
  readonly frames: Frame[] = [];

  constructor(size: number) {
    this.size = size;
  }
}

export const vhsBatchManager: NodeClass = {
  async run({ id, inputs, memory }) {
    const isFirst = numberOf(inputs, 'requeue', 0) === 0;
    if (isFirst || !memory.has(id)) {
      memory.set(id, new Batch(numberOf(inputs, 'frames_per_batch', 16)));
    }
    return { outputs: [memory.get(id)] };
  },
};

export function batchOf({ meta_batch: batch }: Inputs): Batch | null {
  return batch instanceof Batch ? batch : null;
}
