/**
 * Enlarges a picture tile by tile, so that memory stays bounded and there is something to report.
 * Each tile is computed with a margin of its surroundings and the margin is thrown away: the seams
 * are then the same as without tiles. Measured on all three models: a margin of 8 pixels leaves an
 * error of 0.1 of 255, a margin of 10 leaves none.
 */
import type { Frame } from './frames.ts';

export const marginPx = 10;
/** 148² pixels with the margin: about 0.5 s and 200 MB for ×4 on one core. */
const tilePx = 128;

export interface Tile {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export type Enlarge = (frame: Frame, scale: number) => Promise<Frame>;

/** Tiles of nearly equal size that cover the picture once. */
export function planTiles(width: number, height: number, size = tilePx): Tile[] {
  const tiles: Tile[] = [];
  for (const [y, bottom] of spans(height, size)) {
    for (const [x, right] of spans(width, size)) {
      tiles.push({ x, y, width: right - x, height: bottom - y });
    }
  }
  return tiles;
}

function spans(length: number, size: number): (readonly [number, number])[] {
  const count = Math.ceil(length / size);
  const edge = (index: number) => Math.round((index * length) / count);
  return Array.from({ length: count }, (_, index) => [edge(index), edge(index + 1)] as const);
}

/** `onTile` is called after each tile, and may throw to stop. */
export async function enlargeInTiles(
  frame: Frame,
  scale: number,
  enlarge: Enlarge,
  onTile: () => Promise<void>,
  size = tilePx,
): Promise<Frame> {
  const width = frame.width * scale;
  const height = frame.height * scale;
  const rgb = new Uint8Array(width * height * 3);
  for (const tile of planTiles(frame.width, frame.height, size)) {
    const around = grow(tile, frame);
    const large = await enlarge(crop(frame, around), scale);
    const inner = {
      x: (tile.x - around.x) * scale,
      y: (tile.y - around.y) * scale,
      width: tile.width * scale,
      height: tile.height * scale,
    };
    paste(crop(large, inner), rgb, width, tile.x * scale, tile.y * scale);
    await onTile();
  }
  return { width, height, rgb };
}

function grow(tile: Tile, frame: Frame): Tile {
  const x = Math.max(0, tile.x - marginPx);
  const y = Math.max(0, tile.y - marginPx);
  const right = Math.min(frame.width, tile.x + tile.width + marginPx);
  const bottom = Math.min(frame.height, tile.y + tile.height + marginPx);
  return { x, y, width: right - x, height: bottom - y };
}

export function crop(frame: Frame, { x, y, width, height }: Tile): Frame {
  const rgb = new Uint8Array(width * height * 3);
  for (let row = 0; row < height; row++) {
    const start = ((y + row) * frame.width + x) * 3;
    rgb.set(frame.rgb.subarray(start, start + width * 3), row * width * 3);
  }
  return { width, height, rgb };
}

function paste(frame: Frame, rgb: Uint8Array, stride: number, x: number, y: number): void {
  for (let row = 0; row < frame.height; row++) {
    const source = frame.rgb.subarray(row * frame.width * 3, (row + 1) * frame.width * 3);
    rgb.set(source, ((y + row) * stride + x) * 3);
  }
}
