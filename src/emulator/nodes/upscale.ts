/** UpscaleModelLoader, ImageUpscaleWithModel. */
import sharp, { type Sharp } from 'sharp';
import { type Scale, scales } from '../engine.ts';
import { type Frame, writeFrames } from '../frames.ts';
import { PythonError } from '../python.ts';
import { enlargeInTiles, planTiles } from '../tiling.ts';
import { framesOf, type NodeClass, type NodeContext, textOf } from './node.ts';

/** What enlarges, and what only mends. */
type UpscaleModel = { readonly scale: Scale } | { readonly restore: (image: Sharp) => Sharp };

/** By the beginning of the file's name, where that does not tell the scale. */
const models: readonly (readonly [prefix: string, UpscaleModel])[] = [
  ['realesr-animevideov3', { scale: 4 }],
  ['Uformer_denoise', { restore: (image) => image.median(3) }],
  ['Uformer_deblur', { restore: (image) => image.sharpen() }],
  ...scales.map((scale) => [`RealESRGAN_x${scale}`, { scale }] as const),
];

export const upscaleModelLoader: NodeClass = {
  async run({ inputs, catalog }) {
    const name = textOf(inputs, 'model_name');
    const [, model] = models.find(([prefix]) => name.startsWith(prefix)) ?? [];
    if (!model || !catalog.optionsOf('UpscaleModelLoader', 'model_name').includes(name)) {
      throw new PythonError(
        'FileNotFoundError',
        `Model in folder 'upscale_models' with filename '${name}' not found.`,
      );
    }
    return { outputs: [model] };
  },
};

/** Of a model's first layer. */
const tooManyChannels = 'expected input to have 3 channels, but got 4 channels instead';

export const imageUpscaleWithModel: NodeClass = {
  usesGpu: true,

  async run(context) {
    const image = framesOf(context.inputs, 'image');
    const model = context.inputs.upscale_model as UpscaleModel;
    if (image.hasAlpha) throw new PythonError('RuntimeError', tooManyChannels);
    const isEnlarging = 'scale' in model;
    const ticks = image.count * (isEnlarging ? planTiles(image.width, image.height).length : 1);
    let done = 0;
    const tick = () => context.tick(++done, ticks);
    const frames = upscaled(image, (frame) =>
      isEnlarging ? enlarge(context, frame, model.scale, tick) : restore(frame, model, tick),
    );
    return { outputs: [await writeFrames(context.folders.scratch, frames)] };
  },
};

async function restore(
  { width, height, rgb }: Frame,
  { restore }: Extract<UpscaleModel, { restore: unknown }>,
  onFrame: () => Promise<void>,
): Promise<Frame> {
  const raw = { width, height, channels: 3 } as const;
  const restored = await restore(sharp(rgb, { raw, limitInputPixels: false }))
    .raw()
    .toBuffer();
  await onFrame();
  return { width, height, rgb: restored };
}

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
