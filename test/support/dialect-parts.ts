import { realTempo } from '../../src/core/tempo.ts';
import type { DialectParts } from '../../src/http/dialect.ts';

/** For routes that are looked at and not asked: none of the services is there. */
export function absentParts(): DialectParts {
  const parts: Partial<DialectParts> = {
    version: '0.0.0',
    stopping: new AbortController().signal,
    tempo: realTempo.http,
  };
  return parts as DialectParts;
}
