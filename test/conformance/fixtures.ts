/** The pictures and clips that the recordings name, small enough for a CPU. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { AudioSample, AudioSampleSource, BufferTarget, Mp4OutputFormat, Output } from 'mediabunny';
import sharp from 'sharp';
import { fetch } from 'undici';
import { addSound, encodeClip } from '../../src/emulator/clip.ts';
import type { Frame } from '../../src/emulator/frames.ts';

export function picture(width: number, height: number, seed = 0): Promise<Buffer> {
  const { rgb } = frame(width, height, seed);
  return sharp(rgb, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}

function frame(width: number, height: number, seed: number): Frame {
  const rgb = Uint8Array.from({ length: width * height * 3 }, (_, index) => {
    const pixel = Math.floor(index / 3);
    return ((pixel % width) * 3 + Math.floor(pixel / width) * (index % 3) + seed * 40) % 256;
  });
  return { width, height, rgb };
}

/** Twelve frames, ten a second, with sound, as in the recordings. */
export async function clip(width: number, height: number): Promise<Buffer> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'tmlsr-clip-'));
  const [silent, sound, whole] = ['silent.mp4', 'sound.mp4', 'whole.mp4'].map((name) =>
    path.join(folder, name),
  ) as [string, string, string];
  async function* frames(): AsyncGenerator<Frame> {
    for (let index = 0; index < 12; index++) yield frame(width, height, index);
  }
  try {
    await encodeClip({ frames: frames(), fps: 10, audio: null, file: silent, crf: 23 });
    await writeFile(sound, await tone());
    await addSound(silent, { file: sound, startSeconds: 0, endSeconds: 1.2 }, whole);
    return await readFile(whole);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function tone(): Promise<Uint8Array> {
  const sampleRate = 48_000;
  const output = new Output({ format: new Mp4OutputFormat(), target: new BufferTarget() });
  const source = new AudioSampleSource({ codec: 'aac', bitrate: 64_000 });
  output.addAudioTrack(source);
  await output.start();
  const data = Float32Array.from(
    { length: sampleRate * 1.2 },
    (_, index) => Math.sin(index / 20) / 4,
  );
  using sample = new AudioSample({
    data,
    format: 'f32',
    numberOfChannels: 1,
    sampleRate,
    timestamp: 0,
  });
  await source.add(sample);
  await output.finalize();
  return new Uint8Array(output.target.buffer as ArrayBuffer);
}

export interface Upload {
  readonly name: string;
  readonly content: Buffer;
  readonly fields?: Readonly<Record<string, string>>;
}

/** Sends the file name as it is, which no `FormData` does. */
export async function upload(
  server: string,
  { name, content, fields = {} }: Upload,
): Promise<{ status: number; text: string }> {
  const boundary = 'conformance-boundary';
  const parts = Object.entries(fields).map(
    ([key, value]) =>
      `--${boundary}\r\nContent-Disposition: form-data; name="${key}"\r\n\r\n${value}\r\n`,
  );
  const head = `--${boundary}\r\nContent-Disposition: form-data; name="image"; filename="${name}"\r\nContent-Type: application/octet-stream\r\n\r\n`;
  const body = Buffer.concat([
    Buffer.from(parts.join('') + head),
    content,
    Buffer.from(`\r\n--${boundary}--\r\n`),
  ]);
  const response = await fetch(`${server}/upload/image`, {
    method: 'POST',
    headers: { 'Content-Type': `multipart/form-data; boundary=${boundary}` },
    body,
  });
  return { status: response.status, text: await response.text() };
}
