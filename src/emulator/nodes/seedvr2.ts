/** SeedVR2's nodes, with ESRGAN and a resize in place of the diffusion model. */
import type { Scale } from '../engine.ts';
import { type Frame, type Frames, writeFrames } from '../frames.ts';
import type { Catalog } from '../object-info.ts';
import { PythonError, roundHalfToEven } from '../python.ts';
import {
  framesOf,
  type Inputs,
  type NodeClass,
  type NodeContext,
  numberOf,
  textOf,
} from './node.ts';
import { resize } from './scale.ts';
import { enlarge } from './upscale.ts';

export const seedVr2LoadDit: NodeClass = {
  async run({ inputs, catalog }) {
    checkModel(inputs, catalog, 'SeedVR2LoadDiTModel');
    checkOffload(inputs, 'DiT');
    return { outputs: [{ dit: textOf(inputs, 'model') }] };
  },
};

export const seedVr2LoadVae: NodeClass = {
  async run({ inputs, catalog }) {
    checkModel(inputs, catalog, 'SeedVR2LoadVAEModel');
    checkOffload(inputs, 'VAE');
    return { outputs: [{ vae: textOf(inputs, 'model') }] };
  },
};

/** Its combos are not checked when the prompt is posted, so they are here. */
function checkModel(inputs: Inputs, catalog: Catalog, className: string): void {
  for (const name of ['model', 'device']) {
    const value = textOf(inputs, name);
    if (catalog.optionsOf(className, name).includes(value)) continue;
    throw new PythonError('ValueError', `${name} '${value}' is not available`);
  }
}

function checkOffload(inputs: Inputs, kind: string): void {
  if (inputs.cache_model !== true || textOf(inputs, 'offload_device', 'none') !== 'none') return;
  throw new PythonError(
    'ValueError',
    `Model caching (cache_model=True) requires offload_device to be set. (${kind})`,
  );
}

export const seedVr2Upscale: NodeClass = {
  usesGpu: true,

  async run(context) {
    const image = framesOf(context.inputs, 'image');
    const size = targetSize(
      image,
      numberOf(context.inputs, 'resolution', 1080),
      numberOf(context.inputs, 'max_resolution', 0),
    );
    const batches = Math.ceil(image.count / numberOf(context.inputs, 'batch_size', 5));
    const progress = phases(context, batches);
    await progress.all('encode');
    const frames = await writeFrames(
      context.folders.scratch,
      upscaled(context, image, size, progress),
    );
    return { outputs: [frames] };
  },
};

interface Size {
  readonly width: number;
  readonly height: number;
}

/**
 * `resolution` is the short edge, and the fraction of the long one is cut off; `maxResolution` (0:
 * none) caps any edge; sides are cut to even ones.
 */
export function targetSize(
  { width, height }: Size,
  resolution: number,
  maxResolution: number,
): Size {
  const scaled = (side: number, other: number) =>
    side <= other ? resolution : Math.trunc((resolution * side) / other);
  const wanted = { width: scaled(width, height), height: scaled(height, width) };
  const longest = Math.max(wanted.width, wanted.height);
  const cap = maxResolution > 0 && longest > maxResolution ? maxResolution / longest : 1;
  const even = (side: number) => Math.floor(roundHalfToEven(side * cap) / 2) * 2;
  return { width: even(wanted.width), height: even(wanted.height) };
}

async function* upscaled(
  context: NodeContext,
  image: Frames,
  size: Size,
  progress: Phases,
): AsyncGenerator<Frame> {
  const batchSize = numberOf(context.inputs, 'batch_size', 5);
  let index = 0;
  for await (const frame of image) {
    yield await resize(await sharpen(context, frame, size), size.width, size.height);
    index += 1;
    if (index % batchSize === 0 || index === image.count) await progress.one('upscale');
  }
  await progress.all('decode');
  await progress.all('postprocess');
}

/** Enlarges by the least model that reaches the size, or by the greatest there is. */
async function sharpen(context: NodeContext, frame: Frame, size: Size): Promise<Frame> {
  const factor = size.width / frame.width;
  if (factor <= 1) return frame;
  const scale: Scale = factor <= 2 ? 2 : factor <= 3 ? 3 : 4;
  return enlarge(context, frame, scale, async () => {});
}

/** The phases' shares of 100, as SeedVR2 2.5.24 reports them: one tick a batch. */
const shares = {
  encode: [0, 20],
  upscale: [20, 45],
  decode: [45, 95],
  postprocess: [95, 100],
} as const;
type Phase = keyof typeof shares;

interface Phases {
  one(phase: Phase): Promise<void>;
  all(phase: Phase): Promise<void>;
}

function phases({ tick }: NodeContext, batches: number): Phases {
  const done: Record<Phase, number> = { encode: 0, upscale: 0, decode: 0, postprocess: 0 };
  const one = (phase: Phase) => {
    const [from, to] = shares[phase];
    done[phase] += 1;
    return tick(Math.round(from + ((to - from) * done[phase]) / batches), 100);
  };
  const all = async (phase: Phase) => {
    while (done[phase] < batches) await one(phase);
  };
  return { one, all };
}
