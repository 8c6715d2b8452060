/** The pauses between tries: the first, twice as long each time, at most the longest. */
export interface Pauses {
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
}

/** The pause after so many retries, with jitter; `random` is in [0, 1). */
export function backoffMs(retries: number, pauses: Pauses, random: number): number {
  return withJitter(doubledMs(retries, pauses), random);
}

/** The same without jitter, for what nobody else does at the same time. */
export function doubledMs(retries: number, { firstPauseMs, longestPauseMs }: Pauses): number {
  return Math.min(firstPauseMs * 2 ** retries, longestPauseMs);
}

/** Half of it fixed, half of it jitter: those that failed together do not come back all at once. */
export function withJitter(ms: number, random: number): number {
  return ms * (0.5 + random / 2);
}
