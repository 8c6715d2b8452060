/** VideoHelperSuite's VHS_LoadVideo, VHS_VideoInfoLoaded, VHS_VideoCombine. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import sharp from 'sharp';
import {
  type Audio,
  addSound,
  decodeClip,
  encodeClip,
  probeClip,
  type Reading,
  UnreadableClip,
} from '../clip.ts';
import { nextOutput, pad, vhsCounter } from '../folders.ts';
import { type Frame, type Frames, writeFrames } from '../frames.ts';
import { withText } from '../png-text.ts';
import { PythonError } from '../python.ts';
import { isLink } from '../wire.ts';
import {
  framesOf,
  type Inputs,
  type NodeClass,
  type NodeContext,
  numberOf,
  pathOf,
  textOf,
} from './node.ts';
import { resize } from './scale.ts';
import { batchOf } from './vhs-batch.ts';
import { checkVideo, fileVersion } from './video.ts';

interface VideoInfo {
  readonly fps: number;
  readonly frames: number;
  readonly width: number;
  readonly height: number;
}

export const vhsLoadVideo: NodeClass = {
  async run(context) {
    const file = pathOf(context.inputs, 'video', context.folders);
    const {
      fps,
      frames: frameCount,
      hasAudio,
    } = await probeClip(file, asOpenCv.track).catch((error) => {
      if (!(error instanceof UnreadableClip)) throw error;
      throw new PythonError('ValueError', `${file} could not be loaded with cv.`);
    });
    const choice = chooseFrames(context.inputs, fps, frameCount);
    if (choice.count === 0) {
      throw new PythonError('RuntimeError', `No frames generated from ${file}`);
    }
    const batch = batchOf(context.inputs);
    const from = batch?.loaded ?? 0;
    const to = batch ? Math.min(choice.count, from + batch.size) : choice.count;
    const frames = load(context, file, choice, from, to);
    const loaded = await writeFrames(context.folders.scratch, frames);
    if (batch) Object.assign(batch, { loaded: to, isClosed: to === choice.count });
    const startSeconds = choice.skip / choice.rate;
    const endSeconds = startSeconds + to / choice.fps;
    const audio: Audio | null = hasAudio ? { file, startSeconds, endSeconds } : null;
    if (audio === null && isLookedInto(context)) {
      const why = 'Output file does not contain any stream';
      throw new PythonError('Exception', `VHS failed to extract audio from ${file}:\n${why}\n`);
    }
    const { width, height } = loaded;
    const info: VideoInfo = { fps: choice.fps, frames: loaded.count, width, height };
    return { outputs: [loaded, loaded.count, audio, info] };
  },
  fingerprint: (inputs, folders) => fileVersion(inputs, 'video', folders),
  validate: (inputs, folders) => checkVideo(inputs, 'video', folders),
};

/**
 * The sound is a promise, which ComfyUI leaves to whoever takes it; from 0.30.0 on it looks into everything
 * that a link takes on, also into a promise that nobody can keep.
 */
function isLookedInto({ id, prompt, loaders }: NodeContext): boolean {
  const links = Object.values(prompt).flatMap(({ inputs }) => Object.values(inputs ?? {}));
  const takesSound = (link: unknown) => isLink(link) && link[0] === id && link[1] === 2;
  return loaders === '0.33' && links.some(takesSound);
}

interface Choice {
  /** Frames a second after `force_rate`, before `select_every_nth`. */
  readonly rate: number;
  readonly sourceRate: number;
  readonly skip: number;
  readonly every: number;
  readonly count: number;
  /** Frames a second of what was loaded. */
  readonly fps: number;
}

/** `force_rate` repeats or drops frames; then some are skipped, and of the rest every nth counts. */
export function chooseFrames(inputs: Inputs, sourceRate: number, frames: number): Choice {
  const rate = numberOf(inputs, 'force_rate', 0) || sourceRate;
  const skip = numberOf(inputs, 'skip_first_frames', 0);
  const every = numberOf(inputs, 'select_every_nth', 1);
  const cap = numberOf(inputs, 'frame_load_cap', 0) || Number.POSITIVE_INFINITY;
  const available = Math.max(0, Math.round((frames * rate) / sourceRate) - skip);
  const count = Math.min(cap, Math.ceil(available / every));
  return { rate, sourceRate, skip, every, count, fps: rate / every };
}

const asOpenCv: Reading = { track: 'shown', isTurned: true };

async function* load(
  context: NodeContext,
  file: string,
  choice: Choice,
  from: number,
  to: number,
): AsyncGenerator<Frame> {
  let index = 0;
  let loaded = 0;
  for await (const frame of decodeClip(file, asOpenCv)) {
    // The source frame that is on screen at the time of the next wanted one.
    while (loaded < to && sourceIndex(choice, loaded) <= index) {
      if (loaded >= from) yield await toCustomSize(context.inputs, frame);
      loaded += 1;
      await context.tick(loaded, choice.count);
    }
    if (loaded === to) return;
    index += 1;
  }
}

function sourceIndex({ rate, sourceRate, skip, every }: Choice, loaded: number): number {
  return Math.floor(((skip + loaded * every) * sourceRate) / rate + 1e-6);
}

/** A side of 0 follows from the other one. */
function toCustomSize(inputs: Inputs, frame: Frame): Promise<Frame> | Frame {
  const width = numberOf(inputs, 'custom_width', 0);
  const height = numberOf(inputs, 'custom_height', 0);
  if (width === 0 && height === 0) return frame;
  return resize(
    frame,
    width || Math.round((frame.width * height) / frame.height),
    height || Math.round((frame.height * width) / frame.width),
  );
}

export const vhsVideoInfoLoaded: NodeClass = {
  async run({ inputs }) {
    const { fps, frames, width, height } = inputs.video_info as VideoInfo;
    return { outputs: [fps, frames, frames / fps, width, height] };
  },
};

/** FFmpeg numbers the pictures, and the node tells no more than the pattern. */
const sequences = ['video/8bit-png', 'video/16bit-png'];

export const vhsVideoCombine: NodeClass = {
  async run(context) {
    const { inputs, folders } = context;
    const format = textOf(inputs, 'format');
    const isSequence = sequences.some((each) => each === format);
    if (format !== 'video/h264-mp4' && !isSequence) {
      throw new PythonError('ValueError', `${format} is not a format that this emulator writes`);
    }
    const images = framesOf(inputs, 'images');
    const batch = batchOf(inputs);
    if (batch) for await (const frame of ordered(context, images)) batch.frames.push(frame);
    if (batch && !batch.isClosed) {
      context.requeue();
      return { outputs: [[true, []]], ui: { unfinished_batch: [true] } };
    }
    const fps = numberOf(inputs, 'frame_rate', 8);
    const audio = (inputs.audio ?? null) as Audio | null;
    const type = inputs.save_output === false ? 'temp' : 'output';
    const prefix = textOf(inputs, 'filename_prefix', 'AnimateDiff');
    const place = await nextOutput(folders[type], prefix, vhsCounter);
    const base = `${place.prefix}_${pad(place.counter)}`;
    const at = (name: string) => path.join(place.folder, name);
    const crf = numberOf(inputs, 'crf', 19);

    // It leaves three files: the first frame with the graph, the silent clip, and the one with sound.
    await writeFile(at(`${base}.png`), await firstFrame(context, images));
    if (isSequence) {
      // FFmpeg copies them with the sound in mind, for which they have no room.
      const filename = `${base}${audio === null ? '' : '-audio'}.%03d.png`;
      let number = 0;
      for await (const { width, height, rgb } of ordered(context, images)) {
        number += 1;
        const png = sharp(rgb, { raw: { width, height, channels: 3 } }).png();
        await png.toFile(at(filename.replace('%03d', String(number).padStart(3, '0'))));
      }
      const { subfolder } = place;
      const told = number === 1 ? filename.replace('%03d', '001') : filename;
      const shown = { filename: told, subfolder, type, format, frame_rate: fps };
      return { outputs: [[true, [at(filename)]]], ui: { gifs: [shown] } };
    }
    await encodeClip({
      frames: batch ? inTurn(batch.frames) : ordered(context, images),
      fps,
      audio: null,
      file: at(`${base}.mp4`),
      crf,
    });
    let filename = `${base}.mp4`;
    if (audio !== null) {
      filename = `${base}-audio.mp4`;
      await addSound(at(`${base}.mp4`), audio, at(filename));
    }
    const { subfolder } = place;
    const workflow = `${base}.png`;
    const fullpath = at(filename);
    const gif = { filename, subfolder, type, format, frame_rate: fps, workflow, fullpath };
    return { outputs: [[true, [fullpath]]], ui: { gifs: [gif] } };
  },
};

async function* ordered({ inputs, tick }: NodeContext, images: Frames): AsyncGenerator<Frame> {
  const forth = Array.from({ length: images.count }, (_, index) => index);
  const back = inputs.pingpong === true ? forth.slice(1, -1).reverse() : [];
  const order = [...forth, ...back];
  for (const [done, index] of order.entries()) {
    yield await images.read(index);
    await tick(done + 1, order.length);
  }
}

async function* inTurn(frames: readonly Frame[]): AsyncGenerator<Frame> {
  yield* frames;
}

async function firstFrame({ prompt }: NodeContext, images: Frames): Promise<Buffer> {
  const { width, height, rgb } = await images.read(0);
  const png = await sharp(rgb, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
  return withText(png, { prompt });
}
