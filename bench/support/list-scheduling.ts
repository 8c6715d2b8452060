/** How long equal tasks take when whoever is free takes the next, at once. */
export function workConservingMs(tasks: number, taskMs: readonly number[]): number {
  const freeAt = taskMs.map(() => 0);
  for (let left = tasks; left > 0; left -= 1) {
    const next = freeAt.indexOf(Math.min(...freeAt));
    freeAt[next] = (freeAt[next] ?? 0) + (taskMs[next] ?? 0);
  }
  return Math.max(...freeAt);
}

/** How long they take when each goes where it ends soonest: nothing is faster. */
export function perfectMs(tasks: number, taskMs: readonly number[]): number {
  const freeAt = taskMs.map(() => 0);
  for (let left = tasks; left > 0; left -= 1) {
    const ends = freeAt.map((at, i) => at + (taskMs[i] ?? 0));
    const soonest = ends.indexOf(Math.min(...ends));
    freeAt[soonest] = ends[soonest] ?? 0;
  }
  return Math.max(...freeAt);
}
