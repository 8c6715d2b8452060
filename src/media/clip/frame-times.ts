/** When the frames of a clip are shown. */
export interface FrameTimes {
  /** Seconds, of those that were looked at: from the first on, in whatever order. */
  readonly times: Float64Array;
  /** Seconds from which to which it is shown. */
  readonly shown: readonly Span[];
  /** Whether all were looked at. */
  readonly isAll: boolean;
  /** Seconds by which a time may be off: half a tick of the clock. */
  readonly error: number;
  /** Frames a second, as the file says. */
  readonly statedRate: number | null;
}

/** Exclusive at its end. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface FrameFacts {
  readonly durationSeconds: number;
  readonly frames: number | null;
  readonly fps: number | null;
  readonly isVariableRate: boolean;
}

/** A second's frames as cameras and editors have them. */
const commonRates = [24_000 / 1001, 24, 25, 30_000 / 1001, 30, 48, 50, 60_000 / 1001, 60, 120];
const maxRateError = 0.0005;
/** Gaps that differ by less are the jitter of a recorder. */
const sameGap = 0.2;
/** Lossless cuts lose a frame here and there; in variable rates more of the time goes elsewhere. */
const maxStrayShare = 0.1;

export function frameFacts({ times, shown, isAll, error, statedRate }: FrameTimes): FrameFacts {
  const durationSeconds = shown.reduce((sum, { start, end }) => sum + end - start, 0);
  const gaps = gapsBetween(times, error);
  const isVariableRate = isVariable(gaps, error);
  const counted = framesIn(times, shown, error);
  if (gaps.length > 0 && !isVariableRate) {
    const fps = rateOf(gaps, error, statedRate);
    return {
      durationSeconds,
      frames: isAll ? counted : Math.round(durationSeconds * fps),
      fps,
      isVariableRate,
    };
  }
  const mean = isAll ? counted / durationSeconds : gaps.length / sum(gaps);
  const fps = Number.isFinite(mean) && mean > 0 ? mean : null;
  const frames = isAll ? counted : fps && Math.round(durationSeconds * fps);
  return { durationSeconds, frames, fps, isVariableRate };
}

export function framesIn(
  times: FrameTimes['times'],
  shown: readonly Span[],
  error: number,
): number {
  const isShown = (time: number) =>
    shown.some(({ start, end }) => time > start - error && time < end - error);
  return times.reduce((count, time) => count + Number(isShown(time)), 0);
}

function gapsBetween(times: FrameTimes['times'], error: number): number[] {
  const sorted = Float64Array.from(times).sort();
  const gaps: number[] = [];
  for (let at = 1; at < sorted.length; at += 1) {
    const gap = (sorted[at] ?? 0) - (sorted[at - 1] ?? 0);
    if (gap > error) gaps.push(gap);
  }
  return gaps;
}

function isVariable(gaps: readonly number[], error: number): boolean {
  const usual = usualGap(gaps);
  const strays = gaps.filter((gap) => !isUsual(gap, usual, error));
  return sum(strays.map((gap) => Math.abs(gap - usual))) > sum(gaps) * maxStrayShare;
}

/** Frames a second where the gaps are the same but for a few. */
function rateOf(gaps: readonly number[], error: number, stated: number | null): number {
  const usual = usualGap(gaps);
  const same = gaps.filter((gap) => isUsual(gap, usual, error));
  const measured = same.length / sum(same);
  const errorOf = (rate: number) => Math.abs(measured / rate - 1);
  // A clock of whole milliseconds makes 29.967 of 29.97, and of a few frames almost anything.
  const mostError = Math.max(maxRateError, (2 * error) / sum(same));
  if (stated !== null && errorOf(stated) <= mostError) return nearestRate(stated, maxRateError);
  return nearestRate(measured, mostError);
}

function nearestRate(rate: number, mostError: number): number {
  const errorOf = (common: number) => Math.abs(rate / common - 1);
  const nearest = commonRates.reduce((a, b) => (errorOf(a) < errorOf(b) ? a : b));
  return errorOf(nearest) <= mostError ? nearest : rate;
}

function usualGap(gaps: readonly number[]): number {
  return Float64Array.from(gaps).sort()[gaps.length >> 1] ?? 0;
}

function isUsual(gap: number, usual: number, error: number): boolean {
  return Math.abs(gap - usual) <= Math.max(usual * sameGap, 2 * error);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
