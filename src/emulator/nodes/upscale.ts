/** UpscaleModelLoader, ImageUpscaleWithModel. */
import { type Scale, scales } from '../engine.ts';
import { type Frame, writeFrames } from '../frames.ts';
import { PythonError } from '../python.ts';
import { enlargeInTiles, planTiles } from '../tiling.ts';
import { framesOf, type NodeClass, type NodeContext, textOf } from './node.ts';

interface UpscaleModel {
  readonly scale: Scale;
}

export const upscaleModelLoader: NodeClass = {
  async run({ inputs, catalog }) {
    const name = textOf(inputs, 'model_name');
    const scale = scales.find((each) => name.includes(`_x${each}`));
    if (
      scale === undefined ||
      !catalog.optionsOf('UpscaleModelLoader', 'model_name').includes(name)
    ) {
      throw new PythonError(
        'FileNotFoundError',
        `Model in folder 'upscale_models' with filename '${name}' not found.`,
      );
    }
    const model: UpscaleModel = { scale };
    return { outputs: [model] };
  },
};

export const imageUpscaleWithModel: NodeClass = {
  usesGpu: true,

  async run(context) {
    const image = framesOf(context.inputs, 'image');
    const { scale } = context.inputs.upscale_model as UpscaleModel;
    const tiles = image.count * planTiles(image.width, image.height).length;
    let done = 0;
    const tick = () => context.tick(++done, tiles);
    const frames = upscaled(image, (frame) => enlarge(context, frame, scale, tick));
    return { outputs: [await writeFrames(context.folders.scratch, frames)] };
  },
};

async function* upscaled(
  frames: AsyncIterable<Frame>,
  enlargeOne: (frame: Frame) => Promise<Frame>,
): AsyncGenerator<Frame> {
  for await (const frame of frames) yield await enlargeOne(frame);
}

export function enlarge(
  { engine, checkpoint }: NodeContext,
  frame: Frame,
  scale: Scale,
  onTile: () => Promise<void>,
): Promise<Frame> {
  return enlargeInTiles(
    frame,
    scale,
    (tile) => engine.enlarge(tile, scale),
    async () => {
      await checkpoint();
      await onTile();
    },
  );
}
