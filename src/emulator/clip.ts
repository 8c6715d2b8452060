/**
 * Video files in and out, frame by frame. The server codecs are loaded with the first clip: they are
 * native code, and most of what the emulator does needs none.
 */
import { readFile, writeFile } from 'node:fs/promises';
import {
  ALL_FORMATS,
  AudioSampleSink,
  AudioSampleSource,
  EncodedAudioPacketSource,
  EncodedPacketSink,
  EncodedVideoPacketSource,
  FilePathSource,
  FilePathTarget,
  Input,
  type InputAudioTrack,
  MatroskaInputFormat,
  Mp4OutputFormat,
  Output,
  Quality,
  VideoSample,
  VideoSampleSink,
  VideoSampleSource,
} from 'mediabunny';
import sharp from 'sharp';
import type { Frame } from './frames.ts';
import { toTaggedRgb } from './loaders/yuv.ts';

export interface ClipInfo {
  readonly fps: number;
  readonly frames: number;
  readonly hasAudio: boolean;
}

/** A stretch of a file's sound: ComfyUI's AUDIO. */
export interface Audio {
  readonly file: string;
  readonly startSeconds: number;
  readonly endSeconds: number;
}

/** The file is not a video, or is cut off before its index. */
export class UnreadableClip extends Error {}

let codecs: Promise<void> | null = null;

/** Without a hardware context: looking for a GPU prints a dozen warnings and finds none. */
export function loadCodecs(): Promise<void> {
  codecs ??= import('@mediabunny/server').then(({ registerMediabunnyServer }) =>
    registerMediabunnyServer({ hardwareContext: null }),
  );
  return codecs;
}

export async function openFile(file: string): Promise<Input> {
  await loadCodecs();
  return new Input({ source: new FilePathSource(file), formats: ALL_FORMATS });
}

/** How a reader takes a clip: PyAV its first track, OpenCV the one that players show. */
export interface Reading {
  readonly track: 'first' | 'shown';
  /** Whether frames are turned as the clip tells. */
  readonly isTurned: boolean;
}

async function openClip(file: string, track: Reading['track']) {
  const input = await openFile(file);
  try {
    const [first = null] = await input.getVideoTracks();
    const video = track === 'first' ? first : await input.getPrimaryVideoTrack();
    if (video === null) throw new UnreadableClip('no video track');
    return { input, video, audio: await input.getPrimaryAudioTrack() };
  } catch (cause) {
    input.dispose();
    throw new UnreadableClip('Invalid data found when processing input', { cause });
  }
}

export async function probeClip(file: string, track: Reading['track']): Promise<ClipInfo> {
  const { input, video, audio } = await openClip(file, track);
  using _ = input;
  const times: number[] = [];
  for await (const { timestamp } of new EncodedPacketSink(video).packets(undefined, undefined, {
    metadataOnly: true,
  })) {
    times.push(timestamp);
  }
  const fps =
    rateOf(times.toSorted((a, b) => a - b)) ?? (await video.computePacketStats()).averagePacketRate;
  return {
    fps: Number(fps.toFixed(5)),
    frames: times.filter(isShown).length,
    hasAudio: audio !== null,
  };
}

/** Frames before the beginning are there to decode others from (an edit list cuts them off). */
function isShown(timestamp: number): boolean {
  return timestamp > -0.0005;
}

/** Frames a second where nearly all come evenly, but for timestamps of whole milliseconds. */
function rateOf(times: readonly number[]): number | null {
  const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
  const usual = gaps.toSorted((a, b) => a - b)[Math.floor(gaps.length / 2)];
  if (usual === undefined) return null;
  const even = gaps.filter((gap) => Math.abs(gap - usual) < 0.0015);
  if (even.length < gaps.length * 0.95) return null;
  const measured = even.length / even.reduce((sum, gap) => sum + gap, 0);
  const whole = Math.round(measured);
  const [known = measured] = [whole, (whole * 1000) / 1001].toSorted(
    (a, b) => Math.abs(a - measured) - Math.abs(b - measured),
  );
  return Math.abs(known / measured - 1) < 0.001 ? known : measured;
}

export async function* decodeClip(file: string, reading: Reading): AsyncGenerator<Frame> {
  const { input, video } = await openClip(file, reading.track);
  using _ = input;
  for await (const sample of new VideoSampleSink(video).samples()) {
    using held = sample;
    if (isShown(held.timestamp)) yield await toFrame(held, reading.isTurned);
  }
}

/** WebCodecs names the wanted format here; TypeScript's own types do not yet. */
const asRgba = { format: 'RGBA' } as VideoFrameCopyToOptions;

async function toFrame(sample: VideoSample, isTurned: boolean): Promise<Frame> {
  const { width, height } = sample.visibleRect;
  const rgb = (await toTaggedRgb(sample)) ?? (await plainRgb(sample));
  return turn({ width, height, rgb }, isTurned ? sample.rotation : 0);
}

async function plainRgb(sample: VideoSample): Promise<Uint8Array> {
  const { width, height } = sample.visibleRect;
  const rgba = new Uint8Array(sample.allocationSize(asRgba));
  await sample.copyTo(rgba, asRgba);
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; to < rgb.length; from += 4, to += 3) {
    rgb[to] = rgba[from] ?? 0;
    rgb[to + 1] = rgba[from + 1] ?? 0;
    rgb[to + 2] = rgba[from + 2] ?? 0;
  }
  return rgb;
}

/** As a player shows it: phones store a clip lying down. */
async function turn(frame: Frame, degrees: number): Promise<Frame> {
  if (degrees === 0) return frame;
  const { data, info } = await sharp(frame.rgb, {
    raw: { width: frame.width, height: frame.height, channels: 3 },
  })
    .rotate(degrees)
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, rgb: data };
}

export interface Encoding {
  readonly frames: AsyncIterable<Frame>;
  readonly fps: number;
  readonly audio: Audio | null;
  readonly file: string;
  /** H.264's constant rate factor: lower is better. */
  readonly crf: number;
  /** What is said of the clip, behind its tables. */
  readonly tags?: Readonly<Record<string, string>>;
}

type VideoSource = VideoSampleSource | EncodedVideoPacketSource;

/** Writes H.264 in MP4, with the sound copied where MP4 can carry it. */
export async function encodeClip({
  frames,
  fps,
  audio,
  file,
  crf,
  tags = {},
}: Encoding): Promise<void> {
  await loadCodecs();
  const quality = new Quality({ quantizer: crf, bitrate: 8_000_000 });
  const source = new VideoSampleSource({ codec: 'avc', quality });
  await writeMp4(file, source, fps, () => addFrames(source, frames, fps), audio, tags);
}

/** The same pictures, not encoded again, with a sound. */
export async function addSound(silent: string, audio: Audio, file: string): Promise<void> {
  const { input, video } = await openClip(silent, 'first');
  using _ = input;
  const source = new EncodedVideoPacketSource('avc');
  const decoderConfig = await video.getDecoderConfig();
  const { averagePacketRate } = await video.computePacketStats();
  const copy = async () => {
    for await (const packet of new EncodedPacketSink(video).packets()) {
      await source.add(packet, decoderConfig === null ? {} : { decoderConfig });
    }
    source.close();
  };
  await writeMp4(file, source, averagePacketRate, copy, audio);
}

/**
 * The streams of a Matroska or WebM file as they are, in MP4; `false` of any other file. FFmpeg has no
 * decoding time for the first frames where frames are stored out of order, and ComfyUI leaves such out:
 * the key frame is gone.
 */
export async function copyToMp4(from: string, to: string): Promise<boolean> {
  const { input, video, audio } = await openClip(from, 'first');
  using _ = input;
  const format = await input.getFormat();
  const codec = await video.getCodec();
  if (!(format instanceof MatroskaInputFormat) || codec === null) return false;
  const decoderConfig = (await video.getDecoderConfig()) ?? undefined;
  const packets = await Array.fromAsync(new EncodedPacketSink(video).packets());
  const lost = withoutDecodingTime(packets);
  const source = new EncodedVideoPacketSource(codec);
  const copy = async () => {
    for (const [index, packet] of packets.slice(lost).entries()) {
      // A muxer takes no first frame that is none by itself; its mark is taken off afterwards.
      const marked = index === 0 ? packet.clone({ type: 'key' }) : packet;
      await source.add(marked, decoderConfig ? { decoderConfig } : {});
    }
    source.close();
  };
  const { averagePacketRate } = await video.computePacketStats();
  const sound: Audio | null = audio && {
    file: from,
    startSeconds: 0,
    endSeconds: Number.POSITIVE_INFINITY,
  };
  await writeMp4(to, source, averagePacketRate, copy, sound);
  if (packets.slice(lost).every(({ type }) => type === 'delta')) await forgetKeyFrames(to);
  return true;
}

/** A file without a key frame has no table of them (`stss`, ISO/IEC 14496-12 §8.6.2), as FFmpeg writes it. */
async function forgetKeyFrames(file: string): Promise<void> {
  const bytes = await readFile(file);
  bytes.write('free', bytes.indexOf('stss'), 'latin1');
  await writeFile(file, bytes);
}

/** As many as come before a frame that is stored behind them. */
function withoutDecodingTime(packets: readonly { readonly timestamp: number }[]): number {
  const held = packets.map(
    ({ timestamp }, index) =>
      packets.slice(index + 1).filter((later) => later.timestamp < timestamp).length,
  );
  return Math.max(0, ...held);
}

async function writeMp4(
  file: string,
  source: VideoSource,
  frameRate: number,
  addPictures: () => Promise<void>,
  audio: Audio | null,
  tags: Readonly<Record<string, string>> = {},
): Promise<void> {
  // As FFmpeg does with `use_metadata_tags`.
  const format = new Mp4OutputFormat({ metadataFormat: 'mdta' });
  const output = new Output({ format, target: new FilePathTarget(file) });
  output.addVideoTrack(source, { frameRate });
  output.setMetadataTags({ raw: tags });
  await using sound = audio === null ? null : await openSound(audio, format);
  if (sound) output.addAudioTrack(sound.source);
  try {
    await output.start();
    await Promise.all([addPictures(), sound?.copy()]);
    await output.finalize();
  } catch (error) {
    await output.cancel();
    throw error;
  }
}

async function addFrames(
  source: VideoSampleSource,
  frames: AsyncIterable<Frame>,
  fps: number,
): Promise<void> {
  let index = 0;
  for await (const frame of frames) {
    const codedWidth = frame.width + (frame.width % 2);
    const codedHeight = frame.height + (frame.height % 2);
    using sample = new VideoSample(toRgba(frame, codedWidth, codedHeight), {
      format: 'RGBA',
      codedWidth,
      codedHeight,
      timestamp: index / fps,
      duration: 1 / fps,
    });
    await source.add(sample);
    index += 1;
  }
  source.close();
}

/** H.264 with 4:2:0 colours takes even sides only: an odd one repeats its last row or column. */
function toRgba(
  { rgb, width, height }: Frame,
  codedWidth: number,
  codedHeight: number,
): Uint8Array {
  const rgba = new Uint8Array(codedWidth * codedHeight * 4).fill(255);
  let to = 0;
  for (let y = 0; y < codedHeight; y++) {
    const row = Math.min(y, height - 1) * width;
    for (let x = 0; x < codedWidth; x++, to += 4) {
      const from = (row + Math.min(x, width - 1)) * 3;
      rgba[to] = rgb[from] ?? 0;
      rgba[to + 1] = rgb[from + 1] ?? 0;
      rgba[to + 2] = rgb[from + 2] ?? 0;
    }
  }
  return rgba;
}

async function openSound(audio: Audio, format: Mp4OutputFormat) {
  const input = await openFile(audio.file);
  const track = await input.getPrimaryAudioTrack();
  const codec = (await track?.getCodec()) ?? null;
  if (track === null || codec === null) {
    input.dispose();
    return null;
  }
  const sound = format.getSupportedAudioCodecs().includes(codec)
    ? await packets(track, new EncodedAudioPacketSource(codec), audio)
    : samples(track, new AudioSampleSource({ codec: 'aac', bitrate: 192_000 }), audio);
  return { ...sound, [Symbol.asyncDispose]: async () => input.dispose() };
}

async function packets(
  track: InputAudioTrack,
  source: EncodedAudioPacketSource,
  { startSeconds, endSeconds }: Audio,
) {
  const decoderConfig = await track.getDecoderConfig();
  const copy = async () => {
    for await (const packet of new EncodedPacketSink(track).packets()) {
      if (packet.timestamp < startSeconds) continue;
      if (packet.timestamp >= endSeconds) break;
      const timestamp = packet.timestamp - startSeconds;
      await source.add(
        packet.clone({ timestamp }),
        decoderConfig === null ? {} : { decoderConfig },
      );
    }
    source.close();
  };
  return { source, copy };
}

function samples(
  track: InputAudioTrack,
  source: AudioSampleSource,
  { startSeconds, endSeconds }: Audio,
) {
  const copy = async () => {
    for await (const sample of new AudioSampleSink(track).samples(startSeconds, endSeconds)) {
      using held = sample;
      held.setTimestamp(Math.max(0, held.timestamp - startSeconds));
      await source.add(held);
    }
    source.close();
  };
  return { source, copy };
}
