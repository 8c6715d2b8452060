import { createHash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

/**
 * How a key looks: `tmlsr_ID_SECRET` with a checksum at its end, all of it in hexadecimal digits. Scanners of
 * source code know it by its beginning, and tell it from an example by the checksum. The secret has 256 random
 * bits, so that a fast digest is as good as a slow one.
 */
const pattern = /^tmlsr_([0-9a-f]{16})_[0-9a-f]{64}([0-9a-f]{8})$/;

export interface MadeKey {
  readonly id: string;
  /** For its bearer; it is kept nowhere. */
  readonly key: string;
  readonly digest: string;
}

/** A new key; with an id, another one for that. */
export function makeKey(id = randomBytes(8).toString('hex')): MadeKey {
  const body = `tmlsr_${id}_${randomBytes(32).toString('hex')}`;
  const key = body + checksumOf(body);
  return { id, key, digest: digestOf(key) };
}

/** The id in a key; `null` for a text that is none of ours. */
export function idIn(key: string): string | null {
  const [, id = null, checksum] = pattern.exec(key) ?? [];
  return checksum === checksumOf(key.slice(0, -8)) ? id : null;
}

/** SHA-256 of a key, in hexadecimal digits. */
export function digestOf(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}

function checksumOf(body: string): string {
  return crc32(body).toString(16).padStart(8, '0');
}
