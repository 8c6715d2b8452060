/** Nodes that hold one value for others to be linked to. */
import type { NodeClass } from './node.ts';

export const primitive: NodeClass = {
  run: async ({ inputs: { value } }) => ({ outputs: [value] }),
};

/** One text that stands for values of types that only models make. */
export const emulatorValue: NodeClass = {
  run: async ({ inputs: { value } }) => ({ outputs: [value, value] }),
};
