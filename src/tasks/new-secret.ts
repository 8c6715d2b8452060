import { randomBytes } from 'node:crypto';

/** 128 random bits, as 32 hex digits: for an address that only those know who were given it. */
export function newSecret(): string {
  return randomBytes(16).toString('hex');
}
