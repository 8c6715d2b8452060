/**
 * Video files in and out, frame by frame. The server codecs are loaded with the first clip: they are
 * native code, and most of what the emulator does needs none.
 */
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
  Mp4OutputFormat,
  Output,
  Quality,
  VideoSample,
  VideoSampleSink,
  VideoSampleSource,
} from 'mediabunny';
import sharp from 'sharp';
import { colouredRgb } from './clip-colours.ts';
import type { Frame } from './frames.ts';

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
function loadCodecs(): Promise<void> {
  codecs ??= import('@mediabunny/server').then(({ registerMediabunnyServer }) =>
    registerMediabunnyServer({ hardwareContext: null }),
  );
  return codecs;
}

async function openFile(file: string): Promise<Input> {
  await loadCodecs();
  return new Input({ source: new FilePathSource(file), formats: ALL_FORMATS });
}

async function openClip(file: string) {
  const input = await openFile(file);
  try {
    const video = await input.getPrimaryVideoTrack();
    if (video === null) throw new UnreadableClip('no video track');
    return { input, video, audio: await input.getPrimaryAudioTrack() };
  } catch (cause) {
    input.dispose();
    throw new UnreadableClip('Invalid data found when processing input', { cause });
  }
}

export async function probeClip(file: string): Promise<ClipInfo> {
  const { input, video, audio } = await openClip(file);
  using _ = input;
  const { packetCount, averagePacketRate } = await video.computePacketStats();
  // Measured from rounded timestamps: 9.999999999999998 is 10.
  const fps = Number(averagePacketRate.toFixed(5));
  return { fps, frames: packetCount, hasAudio: audio !== null };
}

export async function* decodeClip(file: string): AsyncGenerator<Frame> {
  const { input, video } = await openClip(file);
  using _ = input;
  for await (const sample of new VideoSampleSink(video).samples()) {
    using held = sample;
    yield await toFrame(held);
  }
}

/** WebCodecs names the wanted format here; TypeScript's own types do not yet. */
const asRgba = { format: 'RGBA' } as VideoFrameCopyToOptions;

async function toFrame(sample: VideoSample): Promise<Frame> {
  const { width, height } = sample.visibleRect;
  const rgb = (await colouredRgb(sample)) ?? (await plainRgb(sample));
  return turn({ width, height, rgb }, sample.rotation);
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
  const { input, video } = await openClip(silent);
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
