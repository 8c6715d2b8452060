/** ComfyUI's own video nodes: LoadVideo, GetVideoComponents, CreateVideo, SaveVideo. */
import { copyFile, link, stat } from 'node:fs/promises';
import path from 'node:path';
import {
  type Audio,
  copyToMp4,
  decodeClip,
  encodeClip,
  probeClip,
  type Reading,
  UnreadableClip,
} from '../clip.ts';
import { type Folders, nextOutput, pad } from '../folders.ts';
import { type Frame, type Frames, writeFrames } from '../frames.ts';
import { PythonError } from '../python.ts';
import type { FileReference } from '../wire.ts';
import { exists, metadata } from './image.ts';
import { framesOf, type Inputs, type NodeClass, numberOf, pathOf, textOf } from './node.ts';

/** ComfyUI's VIDEO: a file, or the parts of a new one. */
type Video =
  | { readonly file: string }
  | { readonly images: Frames; readonly audio: Audio | null; readonly fps: number };

/** As FFmpeg's muxer names itself with PyAV 18.1. */
const muxer = 'Lavf62.12.102';
/** The encoder's own default, which ComfyUI leaves as it is. */
const defaultCrf = 23;

export const loadVideo: NodeClass = {
  async run({ inputs, folders }) {
    const video: Video = { file: pathOf(inputs, 'file', folders) };
    return { outputs: [video] };
  },
  fingerprint: (inputs, folders) => fileVersion(inputs, 'file', folders),
  validate: (inputs, folders) => checkVideo(inputs, 'file', folders),
};

/** A clip may be gigabytes: its version stands for its content. */
export async function fileVersion(inputs: Inputs, name: string, folders: Folders): Promise<string> {
  const { mtimeMs, size, ino } = await stat(pathOf(inputs, name, folders));
  return `${mtimeMs}-${size}-${ino}`;
}

export async function checkVideo(
  inputs: Inputs,
  name: string,
  folders: Folders,
): Promise<Record<string, string>> {
  const value = inputs[name];
  if (typeof value !== 'string' || (await exists(pathOf(inputs, name, folders)))) return {};
  return { [name]: `Invalid video file: ${value}` };
}

export const getVideoComponents: NodeClass = {
  async run({ inputs, folders, signal, loaders }) {
    const video = inputs.video as Video;
    if ('images' in video) return { outputs: [video.images, video.audio, video.fps] };
    try {
      const reading: Reading = { track: 'first', isTurned: loaders === '0.33' };
      const info = await probeClip(video.file, reading.track);
      const decoded = until(signal, decodeClip(video.file, reading));
      const frames = await writeFrames(folders.scratch, decoded);
      return { outputs: [frames, wholeAudio(video.file, info.hasAudio), info.fps] };
    } catch (error) {
      if (!(error instanceof UnreadableClip)) throw error;
      throw new PythonError(
        'av.error.InvalidDataError',
        `[Errno 1094995529] Invalid data found when processing input: '${video.file}'`,
      );
    }
  },
};

function wholeAudio(file: string, hasAudio: boolean): Audio | null {
  if (!hasAudio) return null;
  return { file, startSeconds: 0, endSeconds: Number.POSITIVE_INFINITY };
}

/** Stops at the next frame when the emulator is closed. */
export async function* until(
  signal: AbortSignal,
  frames: AsyncIterable<Frame>,
): AsyncGenerator<Frame> {
  for await (const frame of frames) {
    signal.throwIfAborted();
    yield frame;
  }
}

export const createVideo: NodeClass = {
  async run({ inputs }) {
    const video: Video = {
      images: framesOf(inputs, 'images'),
      audio: (inputs.audio ?? null) as Audio | null,
      fps: numberOf(inputs, 'fps', 30),
    };
    return { outputs: [video] };
  },
};

export const saveVideo: NodeClass = {
  async run(context) {
    const { inputs, folders, signal } = context;
    for (const [name, known] of [
      ['format', ['auto', 'mp4']],
      ['codec', ['auto', 'h264']],
    ] as const) {
      const value = textOf(inputs, name, 'auto');
      if (known.some((each) => each === value)) continue;
      throw new PythonError('ValueError', `'${value}' is not a valid ${name}`);
    }
    const video = inputs.video as Video;
    const place = await nextOutput(
      folders.output,
      textOf(inputs, 'filename_prefix', 'video/ComfyUI'),
    );
    const filename = `${place.prefix}_${pad(place.counter)}_.mp4`;
    const file = path.join(place.folder, filename);
    if ('file' in video) await keepStreams(video.file, file);
    else {
      checkSides(video.images);
      const said = Object.entries(metadata(context));
      const graph = said.map(([name, value]) => [name, JSON.stringify(value)]);
      const tags = Object.fromEntries([...graph, ['encoder', muxer]]);
      const frames = until(signal, video.images);
      await encodeClip({ ...video, audio: trimmed(video), frames, file, crf: defaultCrf, tags });
    }
    const saved: FileReference = { filename, subfolder: place.subfolder, type: 'output' };
    return { outputs: [], ui: { images: [saved], animated: [true] } };
  },
};

/** H.264 with colours of half the size takes even sides only. */
function checkSides({ width, height }: Frames): void {
  if (width % 2 === 0 && height % 2 === 0) return;
  throw new PythonError(
    'av.error.ExternalError',
    '[Errno 542398533] Generic error in an external library: \'avcodec_open2("libx264", {})\'',
  );
}

/** Sound ends with the picture. */
function trimmed({ images, audio, fps }: Extract<Video, { images: Frames }>): Audio | null {
  if (audio === null) return null;
  const endSeconds = audio.startSeconds + images.count / fps;
  return { ...audio, endSeconds: Math.min(audio.endSeconds, endSeconds) };
}

/** What is no MP4 is put into one, stream by stream. */
async function keepStreams(from: string, to: string): Promise<void> {
  if (!(await copyToMp4(from, to))) await linkOrCopy(from, to);
}

/** A clip may be gigabytes, and none is ever written to again. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  await link(from, to).catch(() => copyFile(from, to));
}
