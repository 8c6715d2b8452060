import type { Waiting } from './expected-wait.ts';

/** Runs of one tenant and one workflow that came before a run that waits. */
export interface Ahead extends Waiting {
  readonly tenant: string;
  /** Whether they have the priority of the one that waits: only these share the pool with it. */
  readonly isPeer: boolean;
}

/**
 * What of it is begun before the one that waits: all of its own tenant's, and all of another priority, since both go
 * by the order alone. Of each other tenant's as much as has the GPU time that its own tenant has by then, as shares
 * are equal; where it is not known how long a workflow takes, as many. `durations` are milliseconds.
 */
export function begunBefore(
  ahead: readonly Ahead[],
  { tenant, workflow }: Pick<Ahead, 'tenant' | 'workflow'>,
  durations: ReadonlyMap<string, number>,
): Waiting[] {
  const areKnown = [workflow, ...ahead.map((each) => each.workflow)].every((each) =>
    durations.has(each),
  );
  const msOf = (each: string) => (areKnown ? Math.max(1, durations.get(each) ?? 1) : 1);
  const workOf = (runs: readonly Waiting[]) =>
    runs.reduce((sum, each) => sum + each.count * msOf(each.workflow), 0);

  const { shared = [], inOrder = [] } = Object.groupBy(ahead, (each) =>
    each.isPeer && each.tenant !== tenant ? 'shared' : 'inOrder',
  );
  const own = inOrder.filter((each) => each.tenant === tenant);
  const ownMs = workOf(own) + msOf(workflow);
  const others = Map.groupBy(shared, (each) => each.tenant).values();
  return [...inOrder, ...others.flatMap((runs) => firstOf(runs, ownMs / workOf(runs)))];
}

/** Such a part of them, in whole runs, of each workflow alike. */
function firstOf(runs: readonly Waiting[], part: number): Waiting[] {
  const all = countOf(runs);
  const share = Math.min(all, Math.ceil(all * part)) / all;
  return runs.map(({ workflow, count }) => ({ workflow, count: count * share }));
}

export function countOf(runs: readonly Waiting[]): number {
  return Math.round(runs.reduce((sum, { count }) => sum + count, 0));
}
