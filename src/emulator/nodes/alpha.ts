/** JoinImageWithAlpha, SplitImageWithAlpha, MaskToImage, ImageToMask, InvertMask. */
import { type Frame, type Frames, writeFrames } from '../frames.ts';
import type { Loaders } from '../loaders/loaders.ts';
import { greyFrame, opaque, withoutAlpha } from '../loaders/picture.ts';
import { framesOf, type NodeClass, textOf } from './node.ts';
import { resize } from './scale.ts';

/** A mask is white where the picture becomes transparent, and takes the picture's size. */
export const joinImageWithAlpha: NodeClass = {
  async run({ inputs, folders, loaders, checkpoint }) {
    const images = framesOf(inputs, 'image');
    const masks = framesOf(inputs, 'alpha');
    const count = joinedCount[loaders](images.count, masks.count);
    async function* joined(): AsyncGenerator<Frame> {
      for (let index = 0; index < count; index++) {
        await checkpoint();
        const image = await images.read(Math.min(index, images.count - 1));
        const { width, height } = image;
        const mask = await masks.read(Math.min(index, masks.count - 1));
        const { rgb } = await resize(mask, width, height, 'linear');
        yield { width, height, rgb: image.rgb, alpha: inverted(channelOf(rgb, 0)) };
      }
    }
    return { outputs: [await writeFrames(folders.scratch, joined())] };
  },
};

const joinedCount: Readonly<Record<Loaders, (images: number, masks: number) => number>> = {
  '0.3.64': Math.min,
  '0.33': Math.max,
};

export const splitImageWithAlpha: NodeClass = {
  async run({ inputs, folders }) {
    const images = framesOf(inputs, 'image');
    const pictures = await writeFrames(folders.scratch, mapped(images, withoutAlpha));
    const maskOf = (frame: Frame) =>
      greyFrame(frame.width, frame.height, inverted(opaque(frame).alpha ?? new Uint8Array()));
    return { outputs: [pictures, await writeFrames(folders.scratch, mapped(images, maskOf))] };
  },
};

/** A mask is a grey picture already. */
export const maskToImage: NodeClass = {
  run: async ({ inputs }) => ({ outputs: [framesOf(inputs, 'mask')] }),
};

export const imageToMask: NodeClass = {
  async run({ inputs, folders }) {
    const channel = ['red', 'green', 'blue', 'alpha'].indexOf(textOf(inputs, 'channel'));
    const maskOf = (frame: Frame) =>
      greyFrame(
        frame.width,
        frame.height,
        channel < 3 ? channelOf(frame.rgb, channel) : (opaque(frame).alpha ?? new Uint8Array()),
      );
    const masks = mapped(framesOf(inputs, 'image'), maskOf);
    return { outputs: [await writeFrames(folders.scratch, masks)] };
  },
};

export const invertMask: NodeClass = {
  async run({ inputs, folders }) {
    const invert = ({ width, height, rgb }: Frame) => ({ width, height, rgb: inverted(rgb) });
    const masks = mapped(framesOf(inputs, 'mask'), invert);
    return { outputs: [await writeFrames(folders.scratch, masks)] };
  },
};

async function* mapped(frames: Frames, change: (frame: Frame) => Frame): AsyncGenerator<Frame> {
  for await (const frame of frames) yield change(frame);
}

function inverted(samples: Uint8Array): Uint8Array {
  return samples.map((sample) => 255 - sample);
}

function channelOf(rgb: Uint8Array, channel: number): Uint8Array {
  return Uint8Array.from({ length: rgb.length / 3 }, (_, pixel) => rgb[pixel * 3 + channel] ?? 0);
}
