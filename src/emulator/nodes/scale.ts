/** ImageScale, ImageScaleBy, and the resize that the others use. */
import sharp from 'sharp';
import { type Frame, type Frames, writeFrames } from '../frames.ts';
import { framesOf, type NodeClass, type NodeContext, numberOf, textOf } from './node.ts';

type Kernel = 'nearest' | 'linear' | 'cubic' | 'mks2021' | 'lanczos3';

const kernels: Readonly<Record<string, Kernel>> = {
  'nearest-exact': 'nearest',
  bilinear: 'linear',
  area: 'mks2021',
  bicubic: 'cubic',
  lanczos: 'lanczos3',
};

export const imageScale: NodeClass = {
  async run(context) {
    const image = framesOf(context.inputs, 'image');
    // A side of 0 follows from the other one; both 0 leave the picture as it is.
    const wanted = {
      width: numberOf(context.inputs, 'width', 0),
      height: numberOf(context.inputs, 'height', 0),
    };
    if (wanted.width === 0 && wanted.height === 0) return { outputs: [image] };
    const width =
      wanted.width || Math.max(1, Math.round((image.width * wanted.height) / image.height));
    const height =
      wanted.height || Math.max(1, Math.round((image.height * wanted.width) / image.width));
    return { outputs: [await resizeAll(context, image, width, height)] };
  },
};

export const imageScaleBy: NodeClass = {
  async run(context) {
    const image = framesOf(context.inputs, 'image');
    const factor = numberOf(context.inputs, 'scale_by', 1);
    const width = Math.max(1, Math.round(image.width * factor));
    const height = Math.max(1, Math.round(image.height * factor));
    return { outputs: [await resizeAll(context, image, width, height)] };
  },
};

function resizeAll(
  { inputs, folders, checkpoint }: NodeContext,
  image: Frames,
  width: number,
  height: number,
): Promise<Frames> {
  const kernel = kernels[textOf(inputs, 'upscale_method')] ?? 'cubic';
  const fit = textOf(inputs, 'crop') === 'center' ? 'cover' : 'fill';
  async function* resized(): AsyncGenerator<Frame> {
    for await (const frame of image) {
      await checkpoint();
      yield await resize(frame, width, height, kernel, fit);
    }
  }
  return writeFrames(folders.scratch, resized());
}

export async function resize(
  frame: Frame,
  width: number,
  height: number,
  kernel: Kernel = 'lanczos3',
  fit: 'fill' | 'cover' = 'fill',
): Promise<Frame> {
  if (frame.width === width && frame.height === height) return frame;
  const raw = { width: frame.width, height: frame.height, channels: 3 } as const;
  const rgb = await sharp(frame.rgb, { raw, limitInputPixels: false })
    .resize({ width, height, kernel, fit })
    .removeAlpha()
    .raw()
    .toBuffer();
  return { width, height, rgb };
}
