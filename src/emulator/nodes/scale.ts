/** ImageScale, ImageScaleBy, ImageScaleToTotalPixels, ResizeImageMaskNode, and the resize that the others use. */
import sharp from 'sharp';
import { type Frame, type Frames, writeFrames } from '../frames.ts';
import { PythonError, roundHalfToEven } from '../python.ts';
import {
  framesOf,
  type Inputs,
  type NodeClass,
  type NodeContext,
  numberOf,
  textOf,
} from './node.ts';

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

export const imageScaleToTotalPixels: NodeClass = {
  async run(context) {
    const image = framesOf(context.inputs, 'image');
    const pixels = numberOf(context.inputs, 'megapixels', 1) * 1024 * 1024;
    const steps = numberOf(context.inputs, 'resolution_steps', 1);
    const factor = Math.sqrt(pixels / (image.width * image.height));
    const side = (length: number) => roundHalfToEven((length * factor) / steps) * steps;
    return { outputs: [await resizeAll(context, image, side(image.width), side(image.height))] };
  },
};

/** The ways of `resize_type`; each has inputs of its own, named after it. */
export const resizeImageMask: NodeClass = {
  async run(context) {
    const { inputs } = context;
    const image = framesOf(inputs, 'input');
    const { width, height } = resizedTo(inputs, image);
    const how = {
      method: textOf(inputs, 'scale_method'),
      crop: textOf(inputs, 'resize_type.crop'),
    };
    return { outputs: [await resizeAll(context, image, width, height, how)] };
  },
};

interface Size {
  readonly width: number;
  readonly height: number;
}

export function resizedTo(inputs: Inputs, { width, height }: Size): Size {
  const of = (name: string) => numberOf(inputs, `resize_type.${name}`, 512);
  const side = (name: string, edge: number): Size => {
    const length = of(name);
    return height === edge
      ? { width: roundHalfToEven((width / height) * length), height: length }
      : { width: length, height: roundHalfToEven((height / width) * length) };
  };
  const type = textOf(inputs, 'resize_type');
  switch (type) {
    case 'scale dimensions':
      return { width: of('width'), height: of('height') };
    case 'scale by multiplier':
      return {
        width: roundHalfToEven(width * of('multiplier')),
        height: roundHalfToEven(height * of('multiplier')),
      };
    case 'scale shorter dimension':
      return side('shorter_size', Math.min(width, height));
    case 'scale longer dimension':
      return side('longer_size', Math.max(width, height));
    default:
      throw new PythonError('ValueError', `${type} is not a way in which this emulator resizes`);
  }
}

function resizeAll(
  { inputs, folders, checkpoint }: NodeContext,
  image: Frames,
  width: number,
  height: number,
  { method, crop } = { method: textOf(inputs, 'upscale_method'), crop: textOf(inputs, 'crop') },
): Promise<Frames> {
  const kernel = kernels[method] ?? 'cubic';
  const fit = crop === 'center' ? 'cover' : 'fill';
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
  const resized = (samples: Uint8Array, channels: 1 | 3) => {
    const raw = { width: frame.width, height: frame.height, channels };
    return sharp(samples, { raw, limitInputPixels: false })
      .resize({ width, height, kernel, fit })
      .toColourspace(channels === 1 ? 'b-w' : 'srgb')
      .raw()
      .toBuffer();
  };
  // Each channel by itself: ComfyUI weighs no colour by its transparency.
  const rgb = await resized(frame.rgb, 3);
  if (!frame.alpha) return { width, height, rgb };
  return { width, height, rgb, alpha: await resized(frame.alpha, 1) };
}
