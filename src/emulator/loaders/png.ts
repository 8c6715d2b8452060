/** What of a PNG file a loader has to know, and the frames of an animated one (PNG, third edition). */
import { crc32 } from 'node:zlib';
import type { Frame } from '../frames.ts';
import { lenient, opaque, toFrame } from './picture.ts';

interface Chunk {
  readonly type: string;
  readonly body: Buffer;
}

export interface Png {
  readonly bitDepth: number;
  readonly hasPalette: boolean;
  readonly isGrey: boolean;
  /** Whether a palette or one colour is transparent, rather than a channel of its own telling it. */
  readonly hasTransparentColour: boolean;
  /** None of them where it is no animation. */
  readonly frames: readonly AnimationFrame[];
  readonly header: Buffer;
  /** What stands before the pixels: palette, transparent colour. */
  readonly ahead: readonly Chunk[];
}

interface AnimationFrame {
  readonly control: Buffer;
  readonly data: Buffer[];
}

const signature = Buffer.from('89504e470d0a1a0a', 'hex');

export function readPng(bytes: Buffer): Png {
  const chunks = [...chunksOf(bytes)];
  const header = chunks[0]?.body ?? Buffer.alloc(13);
  const colourType = header[9] ?? 0;
  return {
    bitDepth: header[8] ?? 8,
    hasPalette: colourType === 3,
    isGrey: colourType === 0,
    hasTransparentColour: chunks.some(({ type }) => type === 'tRNS'),
    frames: chunks.some(({ type }) => type === 'acTL') ? animationFrames(chunks) : [],
    header,
    ahead: chunks.filter(({ type }) => type === 'PLTE' || type === 'tRNS'),
  };
}

function* chunksOf(bytes: Buffer): Generator<Chunk> {
  let at = signature.length;
  while (at + 12 <= bytes.length) {
    const length = bytes.readUInt32BE(at);
    const type = bytes.toString('latin1', at + 4, at + 8);
    yield { type, body: bytes.subarray(at + 8, at + 8 + length) };
    at += length + 12;
  }
}

/** The picture that other readers see is none of the frames, unless a control stands before it. */
function animationFrames(chunks: readonly Chunk[]): AnimationFrame[] {
  const frames: AnimationFrame[] = [];
  for (const { type, body } of chunks) {
    if (type === 'fcTL') frames.push({ control: body, data: [] });
    else if (type === 'IDAT') frames.at(-1)?.data.push(body);
    else if (type === 'fdAT') frames.at(-1)?.data.push(body.subarray(4));
  }
  return frames;
}

const dispose = { none: 0, background: 1, previous: 2 } as const;

/** Each frame put onto what those before it left. */
export async function* composedFrames(png: Png): AsyncGenerator<Frame> {
  const width = png.header.readUInt32BE(0);
  const height = png.header.readUInt32BE(4);
  const hasAlpha = !(png.ahead.length === 0 && [0, 2].includes(png.header[9] ?? 0));
  let canvas = Buffer.alloc(width * height * 4);
  for (const { control, data } of png.frames) {
    const area = {
      width: control.readUInt32BE(4),
      height: control.readUInt32BE(8),
      x: control.readUInt32BE(12),
      y: control.readUInt32BE(16),
    };
    const disposal = control[24];
    const isBlended = control[25] === 1;
    const file = asFile(png, area.width, area.height, data);
    const part = opaque(await toFrame(lenient(file)));
    const before = Buffer.from(canvas);
    draw(canvas, width, part, area, isBlended);
    yield split(canvas, width, height, hasAlpha);
    if (disposal === dispose.previous) canvas = before;
    if (disposal === dispose.background) clear(canvas, width, area);
  }
}

function asFile(png: Png, width: number, height: number, data: readonly Buffer[]): Buffer {
  const header = Buffer.from(png.header);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  const body = { type: 'IDAT', body: Buffer.concat(data) };
  const end = { type: 'IEND', body: Buffer.alloc(0) };
  const chunks = [{ type: 'IHDR', body: header }, ...png.ahead, body, end];
  return Buffer.concat([signature, ...chunks.map(written)]);
}

function written({ type, body }: Chunk): Buffer {
  const chunk = Buffer.concat([
    Buffer.alloc(4),
    Buffer.from(type, 'latin1'),
    body,
    Buffer.alloc(4),
  ]);
  chunk.writeUInt32BE(body.length, 0);
  chunk.writeUInt32BE(crc32(chunk.subarray(4, -4)), chunk.length - 4);
  return chunk;
}

interface Area {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

function draw(canvas: Buffer, stride: number, part: Frame, area: Area, isBlended: boolean): void {
  for (let y = 0; y < area.height; y++) {
    for (let x = 0; x < area.width; x++) {
      const from = y * area.width + x;
      const to = ((area.y + y) * stride + area.x + x) * 4;
      const alpha = part.alpha?.[from] ?? 255;
      const below = isBlended ? ((canvas[to + 3] ?? 0) * (255 - alpha)) / 255 : 0;
      const sum = alpha + below;
      for (let channel = 0; channel < 3; channel++) {
        const above = (part.rgb[from * 3 + channel] ?? 0) * alpha;
        canvas[to + channel] = sum === 0 ? 0 : (above + (canvas[to + channel] ?? 0) * below) / sum;
      }
      canvas[to + 3] = sum;
    }
  }
}

function clear(canvas: Buffer, stride: number, { x, y, width, height }: Area): void {
  for (let row = y; row < y + height; row++) {
    canvas.fill(0, (row * stride + x) * 4, (row * stride + x + width) * 4);
  }
}

function split(canvas: Buffer, width: number, height: number, hasAlpha: boolean): Frame {
  const rgb = new Uint8Array(width * height * 3);
  const alpha = new Uint8Array(width * height);
  for (let pixel = 0; pixel < alpha.length; pixel++) {
    rgb.set(canvas.subarray(pixel * 4, pixel * 4 + 3), pixel * 3);
    alpha[pixel] = canvas[pixel * 4 + 3] ?? 0;
  }
  return hasAlpha ? { width, height, rgb, alpha } : { width, height, rgb };
}
