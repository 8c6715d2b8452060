import { GatewayError } from './errors.ts';
import type { MediaInfo } from './media.ts';

export interface Size {
  /** Pixels. */
  readonly width: number;
  readonly height: number;
}

/**
 * The size that a client wants. The workflow upscales as it does; the result is then resized once
 * if its size is not the one asked for. `dims` wins over `magnification`, which wins over `outscale`.
 */
export interface SizeRequest {
  /** Times the source's size. */
  readonly outscale: number | null;
  /** Times the source's size. */
  readonly magnification: number | null;
  readonly dims: Size | null;
}

export const sizeAsTheWorkflowGives: SizeRequest = {
  outscale: null,
  magnification: null,
  dims: null,
};

/** ComfyUI's ImageScale takes no more a side. */
export const maxSidePixels = 16_384;

/**
 * The exact size of the result, or `null` to leave it to the workflow.
 * H.264 in 4:2:0 has no odd sides, so those of a video become even.
 *
 * @throws GatewayError `media_too_large` when a side would pass `maxSidePixels`.
 */
export function planSize(source: MediaInfo, request: SizeRequest): Size | null {
  const wanted = wantedSize(source, request);
  if (wanted === null) return null;
  const size = source.kind === 'video' ? mapSides(wanted, toEven) : mapSides(wanted, toWhole);
  if (Math.max(size.width, size.height) > maxSidePixels) {
    throw new GatewayError(
      'media_too_large',
      `The result would measure ${size.width}x${size.height} pixels; ${maxSidePixels} a side is the most`,
    );
  }
  return size;
}

function wantedSize(source: MediaInfo, request: SizeRequest): Size | null {
  if (request.dims) return request.dims;
  const factor = request.magnification ?? request.outscale;
  if (factor === null) return null;
  return mapSides(source, (side) => side * factor);
}

function mapSides({ width, height }: Size, change: (side: number) => number): Size {
  return { width: change(width), height: change(height) };
}

function toWhole(side: number): number {
  return Math.max(1, Math.round(side));
}

function toEven(side: number): number {
  return Math.max(2, Math.round(side / 2) * 2);
}
