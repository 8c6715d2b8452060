import { GatewayError } from '../../core/errors.ts';
import { tooManyPixels } from '../../core/media-limits.ts';

/** Pictures that may be whole, and that our readers were not built for: what they say, and what it means. */
const unreadable: readonly (readonly [RegExp, (found: RegExpExecArray) => string])[] = [
  [/page \d+ differs from/i, () => 'its pages differ'],
  [/bad labq format/i, () => 'its colours are CIELAB'],
  [/(\w+) compression support is not configured/i, ([, name]) => `it is compressed with ${name}`],
  [/has not been built in: (\w+)/i, ([, name]) => `it is coded with ${name}`],
  [
    /unsupported (codec|feature|image type|color conversion|bit depth)/i,
    ([, of]) => `its ${of} is not known`,
  ],
];

/** What is wrong with a picture that could not be read. */
export function pictureFault(error: unknown, maxPixels: number): GatewayError {
  if (error instanceof GatewayError) return error;
  const words = error instanceof Error ? error.message : '';
  if (/exceeds pixel limit/i.test(words)) return tooManyPixels(maxPixels);
  for (const [pattern, reason] of unreadable) {
    const found = pattern.exec(words);
    if (found) return cannotRead(reason(found), error);
  }
  const message = 'The image is damaged or cut off';
  return new GatewayError('media_corrupt', message, { cause: error });
}

/** The picture may be whole, but the gateway cannot tell how it looks. */
export function cannotRead(reason: string, cause?: unknown): GatewayError {
  const message = `The gateway cannot read this image: ${reason}. Send it as PNG, JPEG or WebP`;
  return new GatewayError('media_unsupported', message, cause === undefined ? {} : { cause });
}
