import { registerMediabunnyServer } from '@mediabunny/server';
import {
  type AudioCodec,
  AudioSample,
  AudioSampleSource,
  BufferTarget,
  type MetadataTags,
  Mp4OutputFormat,
  Output,
  type OutputFormat,
  Quality,
  type Rotation,
  type VideoCodec,
  VideoSample,
  VideoSampleSource,
} from 'mediabunny';
import sharp, { type Sharp } from 'sharp';

export interface PictureSize {
  readonly width: number;
  readonly height: number;
  readonly seed?: number;
}

export interface ClipShape extends PictureSize {
  readonly frames: number;
  readonly fps: number;
  readonly audio?: boolean;
}

export async function samplePng(size: PictureSize): Promise<Buffer> {
  return await picture(size).png().toBuffer();
}

export async function sampleJpeg(size: PictureSize): Promise<Buffer> {
  return await picture(size).jpeg({ quality: 90 }).toBuffer();
}

/** H.264 in MP4, with a tone for its sound where one is wanted. */
export async function sampleMp4(shape: ClipShape): Promise<Buffer> {
  return await sampleClip({ ...shape, format: new Mp4OutputFormat(), codec: 'avc' });
}

/** What makes an MP4 so large: a box that says nothing, whose content follows. */
export function freeBox(bytes: number): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt32BE(1, 0); // The size stands behind the type, in 64 bits.
  header.write('free', 4, 'latin1');
  header.writeBigUInt64BE(BigInt(bytes), 8);
  return header;
}

export interface ContainedClipShape extends ClipShape {
  readonly format: OutputFormat;
  readonly codec: VideoCodec;
  readonly audioCodec?: AudioCodec;
  /** Degrees by which a player turns it clockwise. */
  readonly rotation?: Rotation;
  /** Seconds at which the first frame is shown. */
  readonly startsAt?: number;
  /** What is said of it. */
  readonly tags?: MetadataTags;
}

export async function sampleClip({
  frames,
  fps,
  audio,
  format,
  codec,
  audioCodec = 'aac',
  rotation = 0,
  startsAt = 0,
  tags = {},
  ...size
}: ContainedClipShape): Promise<Buffer> {
  registerMediabunnyServer({ hardwareContext: null });
  const target = new BufferTarget();
  const output = new Output({ format, target });
  const video = new VideoSampleSource({ codec, quality: new Quality('high') });
  const sound = new AudioSampleSource({ codec: audioCodec, bitrate: 64_000 });
  if (frames > 0) output.addVideoTrack(video, { frameRate: fps, rotation });
  if (audio) output.addAudioTrack(sound);
  output.setMetadataTags(tags);
  await output.start();
  for (let i = 0; i < frames; i += 1) {
    const pixels = await picture({ ...size, seed: (size.seed ?? 0) + i })
      .ensureAlpha()
      .raw()
      .toBuffer();
    using frame = new VideoSample(pixels, {
      format: 'RGBA',
      codedWidth: size.width,
      codedHeight: size.height,
      timestamp: startsAt + i / fps,
      duration: 1 / fps,
    });
    await video.add(frame);
  }
  if (audio) {
    using tone = toneOf(Math.max(frames, 1) / fps);
    await sound.add(tone);
  }
  await output.finalize();
  return Buffer.from(target.buffer as ArrayBuffer);
}

/** The same picture for the same seed: slopes, a wave, an edge and a grain, as a photograph has. */
function picture({ width, height, seed = 0 }: PictureSize): Sharp {
  const pixels = Buffer.alloc(width * height * 3);
  let random = seed * 2_654_435_761 + 1;
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0;
      const grain = (random >>> 24) / 16;
      const wave = 40 * Math.sin((x + seed * 3) / 5) * Math.cos(y / 7);
      const edge = x * height > y * width ? 60 : 0;
      const at = (y * width + x) * 3;
      pixels[at] = clamp((x / width) * 150 + wave + grain);
      pixels[at + 1] = clamp((y / height) * 150 + edge + grain);
      pixels[at + 2] = clamp(90 + wave + edge);
    }
  }
  return sharp(pixels, { raw: { width, height, channels: 3 } });
}

function clamp(value: number): number {
  return Math.max(0, Math.min(255, Math.round(value)));
}

function toneOf(seconds: number): AudioSample {
  const sampleRate = 48_000;
  const data = Float32Array.from(
    { length: Math.round(seconds * sampleRate) },
    (_, i) => 0.2 * Math.sin((2 * Math.PI * 440 * i) / sampleRate),
  );
  return new AudioSample({ data, format: 'f32', numberOfChannels: 1, sampleRate, timestamp: 0 });
}
