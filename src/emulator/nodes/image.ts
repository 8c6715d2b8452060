/** LoadImage, SaveImage, PreviewImage. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, open, writeFile } from 'node:fs/promises';
import path from 'node:path';
import sharp from 'sharp';
import { nextOutput, pad } from '../folders.ts';
import { type Frame, writeFrames } from '../frames.ts';
import { withText } from '../png-text.ts';
import { PythonError } from '../python.ts';
import type { FileReference } from '../wire.ts';
import {
  framesOf,
  type NodeClass,
  type NodeContext,
  type NodeResult,
  pathOf,
  textOf,
} from './node.ts';

const pngSignature = Buffer.from('89504e470d0a1a0a', 'hex');

export const loadImage: NodeClass = {
  async run({ inputs, folders }) {
    const frame = await decode(pathOf(inputs, 'image', folders));
    const mask = { width: frame.width, height: frame.height };
    return { outputs: [await writeFrames(folders.scratch, [frame]), mask] };
  },

  async fingerprint(inputs, folders) {
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(pathOf(inputs, 'image', folders)))
      hash.update(chunk);
    return hash.digest('hex');
  },

  async validate(inputs, folders) {
    const name = inputs.image;
    if (typeof name !== 'string' || (await exists(pathOf(inputs, 'image', folders)))) return {};
    return { image: `Invalid image file: ${name}` };
  },
};

export async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}

/** Reads as Pillow does: a picture that was cut off is grey from there on, and no error. */
async function decode(file: string): Promise<Frame> {
  try {
    const { data, info } = await sharp(file, { failOn: 'none', limitInputPixels: false })
      .autoOrient()
      .toColourspace('srgb')
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true });
    return { width: info.width, height: info.height, rgb: threeChannels(data, info.channels) };
  } catch (cause) {
    throw await unreadable(file, cause);
  }
}

function threeChannels(data: Buffer, channels: number): Uint8Array {
  if (channels === 3) return data;
  const rgb = new Uint8Array((data.length / channels) * 3);
  for (let pixel = 0; pixel * 3 < rgb.length; pixel++) {
    rgb.fill(data[pixel * channels] ?? 0, pixel * 3, pixel * 3 + 3);
  }
  return rgb;
}

async function unreadable(file: string, cause: unknown): Promise<Error> {
  await using handle = await open(file).catch(() => null);
  if (handle === null) {
    return new PythonError('FileNotFoundError', `[Errno 2] No such file or directory: '${file}'`);
  }
  const { buffer } = await handle.read(
    Buffer.alloc(pngSignature.length),
    0,
    pngSignature.length,
    0,
  );
  const error = buffer.equals(pngSignature)
    ? new PythonError('OSError', 'Truncated File Read')
    : new PythonError('PIL.UnidentifiedImageError', `cannot identify image file '${file}'`);
  error.cause = cause;
  return error;
}

export const saveImage: NodeClass = {
  run: (context) => save(context, textOf(context.inputs, 'filename_prefix', 'ComfyUI'), 'output'),
};

/** One per process, so that two runs do not take each other's numbers. */
const previewSuffix = Array.from({ length: 5 }, () =>
  String.fromCharCode(97 + Math.floor(Math.random() * 26)),
).join('');

export const previewImage: NodeClass = {
  run: (context) => save(context, `ComfyUI_temp_${previewSuffix}`, 'temp'),
};

async function save(
  context: NodeContext,
  filenamePrefix: string,
  type: 'output' | 'temp',
): Promise<NodeResult> {
  const images = framesOf(context.inputs, 'images');
  const sized = filenamePrefix
    .replaceAll('%width%', String(images.width))
    .replaceAll('%height%', String(images.height));
  const place = await nextOutput(context.folders[type], sized);
  const saved: FileReference[] = [];
  for await (const { width, height, rgb } of images) {
    const number = pad(place.counter + saved.length);
    const batch = place.prefix.replaceAll('%batch_num%', String(saved.length));
    const filename = `${batch}_${number}_.png`;
    const png = await sharp(rgb, { raw: { width, height, channels: 3 }, limitInputPixels: false })
      .png({ compressionLevel: type === 'temp' ? 1 : 4 })
      .toBuffer();
    await writeFile(path.join(place.folder, filename), withText(png, metadata(context)));
    saved.push({ filename, subfolder: place.subfolder, type });
  }
  return { outputs: [], ui: { images: saved } };
}

/** ComfyUI writes the whole graph into what it saves. */
export function metadata({ prompt, extraData }: NodeContext): Record<string, unknown> {
  const extra = extraData.extra_pnginfo;
  return { prompt, ...(typeof extra === 'object' ? extra : {}) };
}
