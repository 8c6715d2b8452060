/**
 * A batch of pictures: ComfyUI's IMAGE, and its MASK, of which all three colours are the same. It
 * lies in a file of raw samples of 8 bits, so that a clip costs disk and not memory; one frame is in
 * memory at a time.
 */
import { open, rm } from 'node:fs/promises';
import path from 'node:path';

export interface Frame {
  readonly width: number;
  readonly height: number;
  /** Row by row, three bytes a pixel. */
  readonly rgb: Uint8Array;
  /** One byte a pixel: the fourth channel, where a node made one. */
  readonly alpha?: Uint8Array;
}

export interface BatchShape {
  readonly count: number;
  readonly width: number;
  readonly height: number;
  readonly hasAlpha: boolean;
}

export class Frames {
  readonly count: number;
  readonly width: number;
  readonly height: number;
  readonly hasAlpha: boolean;
  readonly #path: string;

  constructor(path: string, { count, width, height, hasAlpha }: BatchShape) {
    this.#path = path;
    this.count = count;
    this.width = width;
    this.height = height;
    this.hasAlpha = hasAlpha;
  }

  async read(index: number): Promise<Frame> {
    const { width, height } = this;
    const pixels = width * height;
    const size = pixels * (this.hasAlpha ? 4 : 3);
    const samples = new Uint8Array(size);
    await using file = await open(this.#path);
    let filled = 0;
    while (filled < size) {
      const position = index * size + filled;
      const { bytesRead } = await file.read(samples, filled, size - filled, position);
      if (bytesRead === 0) throw new Error(`frame ${index} ends after ${filled} of ${size} bytes`);
      filled += bytesRead;
    }
    if (!this.hasAlpha) return { width, height, rgb: samples };
    // Copies: a buffer is handed over whole to the engine's thread.
    return { width, height, rgb: samples.slice(0, pixels * 3), alpha: samples.slice(pixels * 3) };
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Frame> {
    for (let index = 0; index < this.count; index++) yield await this.read(index);
  }

  /** Called by the cache when no prompt can use the frames again. */
  async release(): Promise<void> {
    await rm(this.#path, { force: true });
  }
}

/** Collects frames of one size. An error or an interrupt leaves nothing behind. */
export async function writeFrames(
  scratch: string,
  frames: AsyncIterable<Frame> | Iterable<Frame>,
): Promise<Frames> {
  const name = path.join(scratch, `${crypto.randomUUID()}.frames`);
  let count = 0;
  let first: Frame | null = null;
  try {
    await using file = await open(name, 'wx');
    for await (const frame of frames) {
      first ??= frame;
      if (!isAlike(frame, first)) throw new Error('the frames of a batch must all have one size');
      await file.writeFile(frame.rgb);
      if (frame.alpha) await file.writeFile(frame.alpha);
      count += 1;
    }
  } catch (error) {
    await rm(name, { force: true });
    throw error;
  }
  const { width, height, alpha } = first ?? { width: 0, height: 0 };
  return new Frames(name, { count, width, height, hasAlpha: alpha !== undefined });
}

function isAlike(frame: Frame, first: Frame): boolean {
  return (
    frame.width === first.width &&
    frame.height === first.height &&
    (frame.alpha === undefined) === (first.alpha === undefined)
  );
}
