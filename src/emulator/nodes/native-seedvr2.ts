/**
 * ComfyUI's own nodes for SeedVR2, and those around them. In place of the diffusion model stands a
 * little sharpening; the latents are the pictures themselves, and all of them are one chunk.
 */
import sharp from 'sharp';
import { type Frame, type Frames, writeFrames } from '../frames.ts';
import { crop } from '../tiling.ts';
import { framesOf, type NodeClass, type NodeContext, numberOf, textOf } from './node.ts';

export const unetLoader: NodeClass = {
  run: async ({ inputs }) => ({ outputs: [{ model: textOf(inputs, 'unet_name') }] }),
};

export const vaeLoader: NodeClass = {
  run: async ({ inputs }) => ({ outputs: [{ vae: textOf(inputs, 'vae_name') }] }),
};

/** The real one pads to multiples of 16; what it adds is cut off again at the end. */
export const seedVr2Preprocess: NodeClass = passOn('resized_images');

export const vaeEncodeTiled: NodeClass = passOn('pixels');

export const vaeDecodeTiled: NodeClass = passOn('samples');

export const seedVr2TemporalMerge: NodeClass = passOn('latents');

export const seedVr2TemporalChunk: NodeClass = {
  run: async ({ inputs }) => ({ outputs: [framesOf(inputs, 'latent'), 0] }),
};

export const seedVr2Conditioning: NodeClass = {
  run: async ({ inputs: { model } }) => ({ outputs: [{ positive: model }, { negative: model }] }),
};

export const kSampler: NodeClass = {
  usesGpu: true,

  async run(context) {
    const steps = numberOf(context.inputs, 'steps', 20);
    const latent = framesOf(context.inputs, 'latent_image');
    const frames = await changed(context, latent, (frame) => sharpened(frame));
    for (let step = 1; step <= steps; step++) await context.tick(step, steps);
    return { outputs: [frames] };
  },
};

/** Brings the pictures back to the size before the padding, less an odd row or column. */
export const seedVr2PostProcessing: NodeClass = {
  async run(context) {
    const images = framesOf(context.inputs, 'images');
    const reference = framesOf(context.inputs, 'original_resized_images');
    const even = (length: number) => length - (length % 2);
    const width = even(Math.min(images.width, reference.width));
    const height = even(Math.min(images.height, reference.height));
    if (images.width === width && images.height === height) return { outputs: [images] };
    const cut = (frame: Frame) => crop(frame, { x: 0, y: 0, width, height });
    return { outputs: [await changed(context, images, cut)] };
  },
};

function passOn(name: string): NodeClass {
  return { run: async ({ inputs }) => ({ outputs: [framesOf(inputs, name)] }) };
}

async function changed(
  { folders, checkpoint }: NodeContext,
  frames: Frames,
  change: (frame: Frame) => Promise<Frame> | Frame,
): Promise<Frames> {
  async function* changing(): AsyncGenerator<Frame> {
    for await (const frame of frames) {
      await checkpoint();
      yield await change(frame);
    }
  }
  return await writeFrames(folders.scratch, changing());
}

async function sharpened({ width, height, rgb }: Frame): Promise<Frame> {
  const raw = { width, height, channels: 3 } as const;
  const sharper = await sharp(rgb, { raw, limitInputPixels: false }).sharpen().raw().toBuffer();
  return { width, height, rgb: sharper };
}
