import { GatewayError } from './errors.ts';
import type { ImageFormat } from './media.ts';
import type { Size } from './picture-size.ts';

/** What the formats can hold, pixels a side. */
const longestSide: Partial<Record<ImageFormat, number>> = {
  jpg: 65_535,
  webp: 16_383,
  avif: 16_384,
};

/**
 * Both sides have the same limit: it holds of a picture that lies on its side, too.
 *
 * @throws GatewayError `media_too_large`.
 */
export function checkSides({ width, height }: Size, format: ImageFormat): void {
  const most = longestSide[format];
  if (most === undefined || Math.max(width, height) <= most) return;
  throw new GatewayError(
    'media_too_large',
    `The result measures ${width}x${height} pixels; ${format} takes ${most} a side at most`,
  );
}
