/**
 * A batch of pictures: ComfyUI's IMAGE. It lies in a file of raw RGB, 8 bits a channel, so that a
 * clip costs disk and not memory; one frame is in memory at a time.
 */
import { open, rm } from 'node:fs/promises';
import path from 'node:path';

export interface Frame {
  readonly width: number;
  readonly height: number;
  /** Row by row, three bytes a pixel. */
  readonly rgb: Uint8Array;
}

export class Frames {
  readonly count: number;
  readonly width: number;
  readonly height: number;
  readonly #path: string;

  constructor(path: string, count: number, width: number, height: number) {
    this.#path = path;
    this.count = count;
    this.width = width;
    this.height = height;
  }

  async read(index: number): Promise<Frame> {
    const { width, height } = this;
    const size = width * height * 3;
    const rgb = new Uint8Array(size);
    await using file = await open(this.#path);
    let filled = 0;
    while (filled < size) {
      const position = index * size + filled;
      const { bytesRead } = await file.read(rgb, filled, size - filled, position);
      if (bytesRead === 0) throw new Error(`frame ${index} ends after ${filled} of ${size} bytes`);
      filled += bytesRead;
    }
    return { width, height, rgb };
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
  const name = path.join(scratch, `${crypto.randomUUID()}.rgb`);
  let count = 0;
  let first: Frame | null = null;
  try {
    await using file = await open(name, 'wx');
    for await (const frame of frames) {
      first ??= frame;
      if (frame.width !== first.width || frame.height !== first.height) {
        throw new Error('the frames of a batch must all have one size');
      }
      await file.writeFile(frame.rgb);
      count += 1;
    }
  } catch (error) {
    await rm(name, { force: true });
    throw error;
  }
  return new Frames(name, count, first?.width ?? 0, first?.height ?? 0);
}
