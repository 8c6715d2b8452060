/** Decodes one picture of a file, with its pixels as they are stored. */
import sharp, { type Sharp } from 'sharp';
import type { Frame } from '../frames.ts';

/** A reader that neither converts colours nor minds damage. */
export function lenient(bytes: Uint8Array, page?: number): Sharp {
  return sharp(bytes, {
    failOn: 'none',
    limitInputPixels: false,
    ignoreIcc: true,
    ...(page === undefined ? {} : { page }),
  });
}

/** Both readers mix ink as nobody's press does. */
async function inkToFrame(image: Sharp): Promise<Frame> {
  const { data, info } = await image
    .pipelineColourspace('cmyk')
    .toColourspace('cmyk')
    .raw()
    .toBuffer({ resolveWithObject: true });
  const rgb = new Uint8Array(info.width * info.height * 3);
  for (let pixel = 0; pixel * 3 < rgb.length; pixel++) {
    const light = 255 - (data[pixel * 4 + 3] ?? 0);
    for (let ink = 0; ink < 3; ink++) {
      rgb[pixel * 3 + ink] = Math.round(((255 - (data[pixel * 4 + ink] ?? 0)) * light) / 255);
    }
  }
  return { width: info.width, height: info.height, rgb };
}

export async function toFrame(image: Sharp): Promise<Frame> {
  if ((await image.metadata()).space === 'cmyk') return inkToFrame(image);
  const { data, info } = await image
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  const pixels = width * height;
  const isGrey = channels < 3;
  const rgb = new Uint8Array(pixels * 3);
  for (let pixel = 0; pixel < pixels; pixel++) {
    const from = pixel * channels;
    for (let channel = 0; channel < 3; channel++) {
      rgb[pixel * 3 + channel] = data[from + (isGrey ? 0 : channel)] ?? 0;
    }
  }
  if (channels % 2 === 1) return { width, height, rgb };
  const alpha = new Uint8Array(pixels);
  for (let pixel = 0; pixel < pixels; pixel++) {
    alpha[pixel] = data[pixel * channels + channels - 1] ?? 0;
  }
  return { width, height, rgb, alpha };
}

export function withoutAlpha({ width, height, rgb }: Frame): Frame {
  return { width, height, rgb };
}

export function opaque(frame: Frame): Frame {
  if (frame.alpha) return frame;
  return { ...frame, alpha: new Uint8Array(frame.width * frame.height).fill(255) };
}

export function black(width: number, height: number): Frame {
  return { width, height, rgb: new Uint8Array(width * height * 3) };
}

export function greyFrame(width: number, height: number, values: Uint8Array): Frame {
  const rgb = new Uint8Array(values.length * 3);
  for (const [pixel, value] of values.entries()) rgb.fill(value, pixel * 3, pixel * 3 + 3);
  return { width, height, rgb };
}

/** For what is written: with its fourth channel, where it has one. */
export function toSharp({ width, height, rgb, alpha }: Frame): Sharp {
  const image = sharp(rgb, { raw: { width, height, channels: 3 }, limitInputPixels: false });
  return alpha
    ? image.joinChannel(Buffer.from(alpha), { raw: { width, height, channels: 1 } })
    : image;
}
