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

/** The key as the path of a URL, encoded as signatures want it (RFC 3986). */
export function encodeObjectKey(key: string): string {
  return key.split('/').map(encodeUriPart).join('/');
}

/** Everything but what RFC 3986 leaves unreserved; `encodeURIComponent` passes five characters more. */
export function encodeUriPart(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** The key of which `url` is the address below `baseUrl`, which ends with a slash; or `null`. */
export function keyOfUrl(url: string, baseUrl: string): string | null {
  const address = URL.parse(url);
  const base = URL.parse(baseUrl);
  if (!address || !base || address.origin !== base.origin) return null;
  if (!address.pathname.startsWith(base.pathname)) return null;
  try {
    const key = decodeURIComponent(address.pathname.slice(base.pathname.length));
    checkObjectKey(key);
    return key;
  } catch {
    return null;
  }
}

function isSegment(segment: string): boolean {
  const isDots = segment === '.' || segment === '..';
  return segment !== '' && !isDots && Buffer.byteLength(segment) <= maxSegmentBytes;
}
