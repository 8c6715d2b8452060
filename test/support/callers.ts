import { pino } from 'pino';
import { type Caller, everybody, type Scope } from '../../src/core/caller.ts';
import { noQuotas } from '../../src/core/quota.ts';
import type { Callers } from '../../src/http/auth.ts';
import { doorsOf } from '../../src/http/quotas.ts';

/** Asks nobody for a key. */
export const anybody: Callers = { find: async () => everybody, now: () => everybody };

/** Knows these keys, each by what it may do; its tenant and its name are the key. */
export function callersOf(keys: Readonly<Record<string, readonly Scope[]>>): Callers {
  const now = (key = ''): Caller | null => {
    const scopes = Object.hasOwn(keys, key) ? keys[key] : undefined;
    return scopes ? { tenant: key, key, scopes: new Set(scopes) } : null;
  };
  return { find: async (key) => now(key), now };
}

/** Without quotas. */
export const openDoors = doorsOf(noQuotas, { check: async () => {} }, pino({ level: 'silent' }));
