import fc from 'fast-check';
import { GatewayError } from '../../src/core/errors.ts';

/** A part of the gateway that is given whatever comes, and what has to hold then. */
export interface FuzzTarget {
  readonly name: string;
  /** How many of all cases it gets, beside the others: slow ones get fewer. */
  readonly weight: number;
  /** Tries so many cases, the same ones for the same seed, and tells of the first fault. */
  readonly run: (cases: FuzzCases) => Promise<string | null>;
}

export interface FuzzCases {
  readonly seed: number;
  readonly count: number;
  /** Of one case, as a fault tells it: that one alone is tried. */
  readonly path?: string | undefined;
}

/** The cases of a target, and what throws for one where it does not hold. */
export interface Property<Case> {
  readonly cases: fc.Arbitrary<Case>;
  readonly check: (each: Case) => void | Promise<void>;
}

/** A case that takes as much processor time would hold everybody up. */
const mostProcessorMs = 2_000;
const caseDeadlineMs = 20_000;

/** `property`: what it is where it needs nothing, or how it is opened; what it needs goes with `parts`. */
export function target<Case>(
  name: string,
  weight: number,
  property: Property<Case> | ((parts: AsyncDisposableStack) => Promise<Property<Case>>),
): FuzzTarget {
  const run = async ({ seed, count, path }: FuzzCases) => {
    await using parts = new AsyncDisposableStack();
    const { cases, check } = typeof property === 'function' ? await property(parts) : property;
    const tried = fc.asyncProperty(cases, (each) => inTime(() => check(each)));
    const options = { seed, numRuns: count, ...(path === undefined ? {} : { path }) };
    const details = await fc.check(tried, options);
    if (!details.failed) return null;
    const { errorInstance: error } = details;
    const why = error instanceof Error ? error.stack : String(error);
    return `${await fc.asyncDefaultReportMessage(details)}\n${why}`;
  };
  return { name, weight, run };
}

async function inTime(check: () => void | Promise<void>): Promise<void> {
  const before = process.cpuUsage();
  const checked = check();
  if (checked) await beforeDeadline(checked);
  const { user, system } = process.cpuUsage(before);
  const tookMs = (user + system) / 1_000;
  if (tookMs > mostProcessorMs) throw new Error(`It took ${tookMs} ms of processor time`);
}

async function beforeDeadline(checked: Promise<void>): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const late = () => reject(new Error(`It has not ended within ${caseDeadlineMs} ms`));
  const timer = setTimeout(late, caseDeadlineMs);
  try {
    await Promise.race([checked, promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** The result, or `null` where it is refused with one of the codes that are documented. */
export function orRefusal<T>(codes: readonly GatewayError['code'][], act: () => T): T | null {
  try {
    return act();
  } catch (error) {
    if (error instanceof GatewayError && codes.includes(error.code)) return null;
    throw error;
  }
}
