import type { GatewayError } from './errors.ts';

/** What a gateway needs, and whether it has that at present. */
export interface Check {
  readonly ok: boolean;
  /** Why not, for everybody to read; `null` where it has. */
  readonly reason: string | null;
}

export interface Readiness {
  /** Why requests are better sent to another gateway; `null` where they are not. */
  readonly refusal: GatewayError | null;
  readonly checks: {
    readonly database: Check;
    readonly store: Check;
    readonly servers: Check;
  };
}

export const passed: Check = { ok: true, reason: null };

export function failedFor(reason: string): Check {
  return { ok: false, reason };
}
