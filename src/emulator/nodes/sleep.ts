/** EmulatorSleep: holds the queue for a time and passes its image through. */
import type { Prompt } from '../wire.ts';
import { framesOf, type NodeClass, numberOf, textOf } from './node.ts';

export const emulatorSleep: NodeClass = {
  usesGpu: true,

  async run({ inputs, gpu, loadModel, tick, signal }) {
    const model = textOf(inputs, 'model');
    if (model !== '') await loadModel(model, numberOf(inputs, 'load_seconds', 0) * 1000);
    const ticks = numberOf(inputs, 'ticks', 10);
    const ms = numberOf(inputs, 'seconds', 1) * 1000;
    await gpu.compute(ms, Math.max(1, ticks), signal, async (done) => {
      if (ticks > 0) await tick(done, ticks);
    });
    return { outputs: [framesOf(inputs, 'image')] };
  },
};

/** The models that a graph asks for, in the order of its nodes. */
export function modelsOf(prompt: Prompt): string[] {
  return Object.values(prompt)
    .filter((node) => node.class_type === 'EmulatorSleep' && node.inputs !== undefined)
    .map((node) => textOf(node.inputs, 'model'))
    .filter((model) => model !== '');
}
