/** A run whose links may be read ahead. */
export interface Unread {
  readonly id: string;
  readonly tenant: string;
  /** Its place in the order: the lower, the sooner. */
  readonly rank: number;
}

/**
 * Whose links are read next: the tenants take turns, whatever each has waiting, and each has its first one
 * read. `servedAt` tells when each tenant had its last turn, by any count that grows.
 */
export function nextUnread<T extends Unread>(
  runs: readonly T[],
  servedAt: ReadonlyMap<string, number>,
): T | null {
  const turn = ({ tenant }: Unread) => servedAt.get(tenant) ?? Number.NEGATIVE_INFINITY;
  const [next] = runs.toSorted((a, b) => compare(turn(a), turn(b)) || a.rank - b.rank);
  return next ?? null;
}

function compare(a: number, b: number): number {
  return a === b ? 0 : a < b ? -1 : 1;
}
