/** LoadImage, SaveImage, PreviewImage. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { nextOutput, pad } from '../folders.ts';
import { type Frame, writeFrames } from '../frames.ts';
import type { Loaders } from '../loaders/loaders.ts';
import { black, greyFrame, toSharp, withoutAlpha } from '../loaders/picture.ts';
import { readAsPillow } from '../loaders/pillow.ts';
import { readAsPyAv } from '../loaders/pyav.ts';
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
  async run({ inputs, folders, loaders }) {
    const frames = await readPicture(pathOf(inputs, 'image', folders), loaders);
    const images = await writeFrames(folders.scratch, frames.map(withoutAlpha));
    const masks = await writeFrames(folders.scratch, frames.map(maskOf));
    return { outputs: [images, masks] };
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

async function readPicture(file: string, loaders: Loaders): Promise<Frame[]> {
  const bytes = await readFile(file).catch(() => {
    throw new PythonError('FileNotFoundError', `[Errno 2] No such file or directory: '${file}'`);
  });
  try {
    const frames = await Array.fromAsync(readers[loaders](bytes));
    return frames;
  } catch (cause) {
    if (cause instanceof PythonError) throw cause;
    const isPng = bytes.subarray(0, pngSignature.length).equals(pngSignature);
    const error = isPng
      ? new PythonError('OSError', 'Truncated File Read')
      : new PythonError('PIL.UnidentifiedImageError', `cannot identify image file '${file}'`);
    error.cause = cause;
    throw error;
  }
}

const readers: Readonly<Record<Loaders, (bytes: Buffer) => AsyncIterable<Frame>>> = {
  '0.3.64': readAsPillow,
  '0.33': readAsPyAv,
};

/** The side of the mask that a picture without transparency has. */
const emptyMaskPx = 64;

/** White where the picture is transparent. */
function maskOf({ width, height, alpha }: Frame): Frame {
  if (!alpha) return black(emptyMaskPx, emptyMaskPx);
  return greyFrame(
    width,
    height,
    alpha.map((value) => 255 - value),
  );
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
  for await (const frame of images) {
    const number = pad(place.counter + saved.length);
    const batch = place.prefix.replaceAll('%batch_num%', String(saved.length));
    const filename = `${batch}_${number}_.png`;
    const png = await toSharp(frame)
      .png({ compressionLevel: type === 'temp' ? 1 : 4 })
      .toBuffer();
    await writeFile(path.join(place.folder, filename), withText(png, metadata(context)));
    saved.push({ filename, subfolder: place.subfolder, type });
  }
  return { outputs: [images], ui: { images: saved } };
}

/** ComfyUI writes the whole graph into what it saves. */
export function metadata({ prompt, extraData }: NodeContext): Record<string, unknown> {
  const extra = extraData.extra_pnginfo;
  return { prompt, ...(typeof extra === 'object' ? extra : {}) };
}
