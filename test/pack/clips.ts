/** Clips of all kinds that people send. */
import {
  MkvOutputFormat,
  MovOutputFormat,
  Mp4OutputFormat,
  type Rotation,
  WebMOutputFormat,
} from 'mediabunny';
import { type ContainedClipShape, sampleClip } from '../support/media-samples.ts';
import {
  blue,
  type Colour,
  type Expectation,
  green,
  type OddFile,
  red,
  stored,
} from './odd-file.ts';

const clip = (name: string, make: () => Promise<Buffer>, expected: Expectation): OddFile => ({
  name,
  kind: 'video',
  make,
  expected,
});

const shape = { width: 64, height: 48, frames: 10, fps: 10 } as const;
const shown: Expectation = { size: [64, 48], frames: 10, seconds: 1, sound: false };

const sample = (
  name: string,
  more: Omit<ContainedClipShape, keyof typeof shape>,
  expected = shown,
) => clip(name, () => sampleClip({ ...shape, ...more }), expected);

const turned = (rotation: Rotation, size: Expectation['size']) =>
  sample(
    `turned-${rotation}.mp4`,
    { format: new Mp4OutputFormat(), codec: 'avc', rotation },
    { ...shown, size },
  );

/** Of the bars red, green, blue and skin. */
const skin: Colour = [199, 120, 44];
const bars = [
  [[0.12, 0.5], red],
  [[0.37, 0.5], green],
  [[0.62, 0.5], blue],
  [[0.87, 0.5], skin],
] as const;

export const oddClips: readonly OddFile[] = [
  sample('plain.mp4', { format: new Mp4OutputFormat(), codec: 'avc' }),
  sample(
    'sound.mp4',
    { format: new Mp4OutputFormat(), codec: 'avc', audio: true },
    { ...shown, sound: true },
  ),
  sample('plain.mov', { format: new MovOutputFormat(), codec: 'avc' }),
  sample('plain.mkv', { format: new MkvOutputFormat(), codec: 'avc' }),
  sample('vp9.webm', { format: new WebMOutputFormat(), codec: 'vp9' }),
  sample('vp8.webm', { format: new WebMOutputFormat(), codec: 'vp8' }),
  turned(90, [48, 64]),
  turned(180, [64, 48]),
  turned(270, [48, 64]),
  clip('bars709-180.mp4', stored('bars709-180.mp4'), {
    size: [320, 180],
    frames: 8,
    colours: bars,
  }),
  clip('untagged-hd.mp4', stored('untagged-hd.mp4'), {
    size: [1280, 720],
    frames: 8,
    colours: bars,
  }),
  clip('rot90.mp4', stored('rot90.mp4'), { size: [48, 64], frames: 6 }),
  clip('sar.mp4', stored('sar.mp4'), { size: [85, 48], frames: 5 }),
  clip('cut.mp4', stored('cut.mp4'), { size: [64, 48], frames: 42, seconds: 4.2 }),
  clip('ts30.mp4', stored('ts30.mp4'), { size: [64, 48], frames: 20, seconds: 2 }),
  clip('twov.mkv', stored('twov.mkv'), { size: [160, 90], frames: 30, seconds: 1 }),
  clip('longaudio.mp4', stored('longaudio.mp4'), {
    size: [64, 48],
    frames: 20,
    seconds: 2,
    sound: true,
  }),
  clip('duration-unknown.mp4', stored('duration-unknown.mp4'), { size: [128, 96], frames: 10 }),
  clip('hdr.mp4', stored('hdr.mp4'), { size: [64, 48], frames: 5, told: { hdr: true } }),
  clip('x.3gp', stored('x.3gp'), { size: [128, 96], frames: 10 }),
  clip('bframes.mkv', stored('bframes.mkv'), { size: [64, 48], frames: 48, seconds: 2 }),
];
