import { GatewayError } from '../core/errors.ts';

/** OSS takes names of up to 1023 bytes; common file systems take segments of up to 255. */
const maxKeyBytes = 1023;
const maxSegmentBytes = 255;

// Control characters break headers, logs and XML; a backslash is a separator on some systems.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused.
const forbidden = /[\u0000-\u001f\u007f\\]/;

/** @throws GatewayError `invalid_request` when `key` could mean anything but one object. */
export function checkObjectKey(key: string): void {
  const segments = key.split('/');
  const wellFormed =
    key.isWellFormed() && !forbidden.test(key) && Buffer.byteLength(key) <= maxKeyBytes;
  if (!wellFormed || !segments.every(isSegment)) {
    throw new GatewayError('invalid_request', 'The object key is not valid', { detail: { key } });
  }
}

/** The key as the path of a URL. */
export function encodeObjectKey(key: string): string {
  return key.split('/').map(encodeURIComponent).join('/');
}

function isSegment(segment: string): boolean {
  const isDots = segment === '.' || segment === '..';
  return segment !== '' && !isDots && Buffer.byteLength(segment) <= maxSegmentBytes;
}
