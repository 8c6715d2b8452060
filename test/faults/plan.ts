import { type Milestone, milestones } from '../../src/telemetry/milestones.ts';
import { type Cut, cuts } from '../support/tcp-proxy.ts';
import { between, pick, type Random, seeded } from './random.ts';

/** Who speaks to whom over a connection that may fail. */
export const pairs = ['client', 'database', 'backend', 'store', 'source'] as const;
export type Pair = (typeof pairs)[number];

/** What goes wrong. Times are milliseconds. */
export type Trouble =
  /** Every connection of the pair ends; or the one that is used next, in the middle of a message. */
  | { readonly kind: 'cut' | 'cut-next'; readonly pair: Pair; readonly how: Cut }
  /** Connections stand open and pass nothing on any more. New ones work. */
  | { readonly kind: 'half-open'; readonly pair: Pair }
  | {
      readonly kind: 'slow';
      readonly pair: Pair;
      readonly ms: number;
      readonly latencyMs: number;
      readonly bytesPerSecond: number;
    }
  /** A gateway dies now, or where it comes to the milestone for the nth time. */
  | { readonly kind: 'kill'; readonly gateway: number }
  | {
      readonly kind: 'crash';
      readonly gateway: number;
      readonly milestone: Milestone;
      readonly nth: number;
    }
  /** A gateway stands still, its connections open: now, or where it comes to the milestone. */
  | { readonly kind: 'sleep'; readonly gateway: number; readonly ms: number }
  | {
      readonly kind: 'doze';
      readonly gateway: number;
      readonly milestone: Milestone;
      readonly nth: number;
      readonly ms: number;
    }
  /** ComfyUI dies, and is started again on its files. */
  | { readonly kind: 'kill-backend'; readonly backend: number }
  | { readonly kind: 'restart-database'; readonly ms: number }
  /** The store gets one bit wrong of what it is given next. */
  | { readonly kind: 'corrupt' };

export type TroubleKind = Trouble['kind'];

export interface Step {
  /** Since the beginning. */
  readonly atMs: number;
  readonly trouble: Trouble;
}

/** What there is to be troubled. */
export interface Cast {
  readonly pairs: readonly [Pair, ...Pair[]];
  readonly gateways: number;
  readonly backends: number;
  readonly kinds: readonly [TroubleKind, ...TroubleKind[]];
}

/** So many troubles, one after the other, that follow from the seed alone. */
export function planOf(seed: number, count: number, everyMs: number, cast: Cast): Step[] {
  const random = seeded(seed);
  let atMs = 0;
  return Array.from({ length: count }, () => {
    atMs += Math.round(everyMs * (0.5 + random()));
    return { atMs, trouble: troubleOf(pick(random, cast.kinds), random, cast) };
  });
}

function troubleOf(kind: TroubleKind, random: Random, cast: Cast): Trouble {
  const pair = () => pick(random, cast.pairs);
  const gateway = () => between(random, 0, cast.gateways - 1);
  switch (kind) {
    case 'cut':
    case 'cut-next':
      return { kind, pair: pair(), how: pick(random, cuts) };
    case 'half-open':
      return { kind, pair: pair() };
    case 'slow':
      return {
        kind,
        pair: pair(),
        ms: between(random, 200, 2_000),
        latencyMs: between(random, 5, 100),
        bytesPerSecond: between(random, 20_000, 2_000_000),
      };
    case 'kill':
      return { kind, gateway: gateway() };
    case 'crash':
      return {
        kind,
        gateway: gateway(),
        milestone: pick(random, milestones),
        nth: between(random, 1, 3),
      };
    case 'sleep':
      // Beyond a lease and well within it.
      return { kind, gateway: gateway(), ms: between(random, 500, 8_000) };
    case 'doze':
      return {
        kind,
        gateway: gateway(),
        milestone: pick(random, milestones),
        nth: between(random, 1, 3),
        ms: between(random, 4_000, 10_000),
      };
    case 'kill-backend':
      return { kind, backend: between(random, 0, cast.backends - 1) };
    case 'restart-database':
      return { kind, ms: between(random, 0, 3_000) };
    case 'corrupt':
      return { kind };
  }
}

/** A step in one line, to be read beside a log. */
export function describeStep({ atMs, trouble: { kind, ...details } }: Step): string {
  const seconds = (atMs / 1_000).toFixed(1).padStart(6);
  return `${seconds} s  ${kind.padEnd(17)}${Object.values(details).join(' ')}`;
}
