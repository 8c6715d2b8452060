/** Puts an odd file through a gateway and tells where the results differ from what a person expects. */
import {
  ALL_FORMATS,
  BufferSource,
  Input,
  type InputVideoTrack,
  type VideoSample,
  VideoSampleSink,
} from 'mediabunny';
import sharp from 'sharp';
import { request } from 'undici';
import { toRgbBy } from '../../src/emulator/loaders/yuv.ts';
import { type GatewayClient, hasEnded, type TaskBody } from '../support/gateway-client.ts';
import type { SourceServer } from '../support/source-server.ts';
import type { Expectation, OddFile, Place } from './odd-file.ts';

/** Both double the size. */
const workflows = { image: 'esrgan_image_2x', video: 'esrgan_video_2x' } as const;
const scale = 2;

/** What encoders, and a model that enlarges, change of flat colours; a wrong matrix or profile is more. */
const colourTolerance = { image: 16, video: 9 } as const;
const alphaTolerance = 8;

export interface Judged {
  readonly name: string;
  /** What became of the task: its status, or the code of its error. */
  readonly end: string;
  readonly differences: readonly string[];
}

export interface Court {
  readonly gateway: GatewayClient;
  readonly sources: SourceServer;
  readonly patienceMs: number;
}

export async function judge(file: OddFile, court: Court): Promise<Judged> {
  const { gateway, sources, patienceMs } = court;
  const url = sources.file(`${crypto.randomUUID()}-${file.name}`, await file.make());
  const workflow = workflows[file.kind];
  const answer = await gateway.call('POST', '/tasks', { url, workflow });
  if (answer.status !== 200) {
    return refused(
      file,
      String(answer.body?.error_code ?? answer.status),
      String(answer.body?.detail),
    );
  }
  const task = await gateway.until(answer.body.task_id, hasEnded, patienceMs);
  if (task.status !== 'completed') {
    return refused(file, task.error_code ?? task.status, task.error ?? '');
  }
  const { name, expected } = file;
  if ('refusedAs' in expected) {
    return { name, end: 'completed', differences: [`completed, not ${expected.refusedAs[0]}`] };
  }
  return { name, end: 'completed', differences: await compare(file, expected, task) };
}

function refused({ name, expected }: OddFile, code: string, sentence: string): Judged {
  const isRight = 'refusedAs' in expected && expected.refusedAs.includes(code);
  return { name, end: code, differences: isRight ? [] : [`${code}: ${sentence}`.slice(0, 160)] };
}

async function compare(file: OddFile, expected: Expectation, task: TaskBody): Promise<string[]> {
  const count = task.outputs.length;
  const several = count > 1 ? [`${count} results`] : [];
  const response = await request(task.output?.url ?? '');
  const bytes = Buffer.from(await response.body.arrayBuffer());
  const seen =
    file.kind === 'image'
      ? await lookAtPicture(bytes, expected)
      : await lookAtClip(bytes, expected);
  return [...several, ...seen, ...differentlyTold(task, expected)];
}

function differentlyTold({ output }: TaskBody, { told = {} }: Expectation): string[] {
  return Object.entries(told)
    .map(([name, wanted]) => ({ name, wanted, seen: output?.metadata.input[name] }))
    .filter(({ wanted, seen }) => wanted !== seen)
    .map(({ name, wanted, seen }) => `${name} is told as ${seen}, not ${wanted}`);
}

interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly data: Uint8Array;
}

async function lookAtPicture(bytes: Buffer, expected: Expectation): Promise<string[]> {
  const { data, info } = await sharp(bytes)
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  const pixels = { ...info, data };
  return [
    ...differentSize(pixels, expected),
    ...differentColours(pixels, expected, colourTolerance.image),
    ...differentAlphas(pixels, expected),
  ];
}

function differentSize({ width, height }: Pixels, { size }: Expectation): string[] {
  const wanted = size.map((side) => side * scale);
  // A codec may take even sides only.
  const isRight =
    Math.abs(width - (wanted[0] ?? 0)) <= 1 && Math.abs(height - (wanted[1] ?? 0)) <= 1;
  return isRight ? [] : [`${width}×${height}, not ${wanted.join('×')}`];
}

function differentColours(
  pixels: Pixels,
  { colours = [] }: Expectation,
  tolerance: number,
): string[] {
  return colours
    .map(([place, wanted]) => ({ place, wanted, seen: samplesAt(pixels, place).slice(0, 3) }))
    .filter(({ wanted, seen }) =>
      seen.some((value, at) => Math.abs(value - (wanted[at] ?? 0)) > tolerance),
    )
    .map(
      ({ place, wanted, seen }) =>
        `${seen.join(',')} at ${place.join(',')}, not ${wanted.join(',')}`,
    );
}

function differentAlphas(pixels: Pixels, { alphas = [] }: Expectation): string[] {
  return alphas
    .map(([place, wanted]) => ({ place, wanted, seen: samplesAt(pixels, place)[3] ?? 255 }))
    .filter(({ wanted, seen }) => Math.abs(seen - wanted) > alphaTolerance)
    .map(({ place, wanted, seen }) => `alpha ${seen} at ${place.join(',')}, not ${wanted}`);
}

function samplesAt({ width, height, channels, data }: Pixels, [across, down]: Place): number[] {
  const pixel = Math.floor(down * height) * width + Math.floor(across * width);
  return [...data.subarray(pixel * channels, (pixel + 1) * channels)];
}

async function lookAtClip(bytes: Buffer, expected: Expectation): Promise<string[]> {
  using input = new Input({ source: new BufferSource(bytes), formats: ALL_FORMATS });
  const track = await input.getPrimaryVideoTrack();
  if (track === null) return ['no picture'];
  const frames = await framesOf(track);
  const [first] = frames;
  if (first === undefined) return ['no frame'];
  const seconds = await track.computeDuration();
  const sound = (await input.getPrimaryAudioTrack()) !== null;
  return [
    ...(expected.sound === undefined || expected.sound === sound
      ? []
      : [sound ? 'a sound' : 'no sound']),
    ...differentSize(
      { ...first, width: await track.getDisplayWidth(), height: await track.getDisplayHeight() },
      expected,
    ),
    ...differentColours(first, expected, colourTolerance.video),
    ...(expected.frames === undefined || expected.frames === frames.length
      ? []
      : [`${frames.length} frames, not ${expected.frames}`]),
    ...(expected.seconds === undefined || Math.abs(seconds - expected.seconds) <= 0.15
      ? []
      : [`${seconds.toFixed(2)} s, not ${expected.seconds}`]),
  ];
}

async function framesOf(track: InputVideoTrack): Promise<Pixels[]> {
  const frames: Pixels[] = [];
  for await (const sample of new VideoSampleSink(track).samples()) {
    using held = sample;
    frames.push(await asShown(held));
  }
  return frames;
}

/** A browser takes BT.709 for what tells nothing and has 720 lines or more (Chromium 153). */
async function asShown(sample: VideoSample): Promise<Pixels> {
  const { width, height } = sample.visibleRect;
  const matrix = sample.colorSpace.matrix ?? (height >= 720 ? 'bt709' : 'smpte170m');
  const data = (await toRgbBy(matrix, sample)) ?? new Uint8Array(width * height * 3);
  return { width, height, channels: 3, data };
}
