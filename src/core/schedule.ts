/** A priority is worth this much waiting: a task of priority 5 overtakes one of 4 that came less before. */
export const agePerPriorityMs = 10 * 60_000;
export const defaultPriority = 5;

/** The first run of a line, or one that failed before and stands in no line. */
export interface QueuedRun {
  readonly id: string;
  readonly workflow: string;
  /** Which version of it. */
  readonly workflowHash: string;
  readonly tenant: string;
  readonly priority: number;
  /** Its place in the order, milliseconds: the smaller goes first. Grows with no one's waiting. */
  readonly rank: number;
  readonly createdAt: Date;
  /** Backends where it failed. */
  readonly avoid: readonly string[];
}

/** How much of the pool a tenant has. */
export interface Share {
  /** Its tasks that are worked on now. */
  readonly active: number;
  /** When it last was given a backend, milliseconds. */
  readonly servedAt: number;
}

/** What there is to know when a backend asks for its next task. */
export interface Situation {
  readonly backend: string;
  /** The workflow whose models the backend holds, or will when its turn comes. */
  readonly warm: string | null;
  /** How many other backends hold a workflow's models. */
  readonly warmElsewhere: ReadonlyMap<string, number>;
  readonly canRun: (task: QueuedRun) => boolean;
  /** Whether some other backend, that does not stand in `avoid`, could run the task. */
  readonly othersCanRun: (task: QueuedRun) => boolean;
  readonly shares: ReadonlyMap<string, Share>;
  /** When a task of the line was last given to a backend, milliseconds. */
  readonly lineServedAt: (task: QueuedRun) => number | null;
  readonly now: number;
  /** How long a line may stand still for the sake of models that are loaded, milliseconds. */
  readonly patienceMs: number;
}

/**
 * A tenant that is so many tasks ahead of another waits for it, whatever models are loaded: one
 * backend has as many, the one that runs and the one that is made ready.
 */
const unevenBy = 2;

/**
 * Chooses the next task for a backend among the heads of all lines; `null` when it can run none.
 *
 * Priority goes first, and ages. Among tasks of one priority, tenants get equal shares and a workflow
 * whose models are loaded is preferred, since a switch costs a model load; but a line that has stood
 * still for `patienceMs`, or a tenant that has fallen behind, is not passed over for that.
 */
export function schedule(heads: readonly QueuedRun[], situation: Situation): QueuedRun | null {
  const usable = heads.filter((task) => isFor(task, situation)).sort(byRank);
  const peers = withoutTheGreedy(ofOnePriority(usable), situation);
  const overdue = peers.filter((task) => stoodStillMs(task, situation) >= situation.patienceMs);
  const warm = peers.filter(({ workflow }) => workflow === situation.warm);
  const byShareOf = (a: QueuedRun, b: QueuedRun) => byShare(a, b, situation);
  const byLoadOf = (a: QueuedRun, b: QueuedRun) => byLoad(a, b, situation);
  return (
    firstOf(overdue, byShareOf, byRank) ??
    firstOf(warm, byShareOf, byRank) ??
    firstOf(peers, byShareOf, byLoadOf, byRank)
  );
}

/** Tasks of one line are equal but for their order, and the version of their workflow. */
export function lineOf({ workflow, tenant }: Pick<QueuedRun, 'workflow' | 'tenant'>): string {
  return JSON.stringify([workflow, tenant]);
}

function isFor(task: QueuedRun, { backend, canRun, othersCanRun }: Situation): boolean {
  if (!canRun(task)) return false;
  // Elsewhere first; where there is no elsewhere, here again.
  return !task.avoid.includes(backend) || !othersCanRun(task);
}

/** The tasks that are equal to the first in priority, before any that is above them. */
function ofOnePriority(usable: readonly QueuedRun[]): QueuedRun[] {
  const [first] = usable;
  if (!first) return [];
  // What has aged to the front brings no others of its priority with it.
  const above = usable.findIndex(({ priority }) => priority > first.priority);
  const before = above < 0 ? usable : usable.slice(0, above);
  return before.filter(({ priority }) => priority === first.priority);
}

function withoutTheGreedy(peers: readonly QueuedRun[], situation: Situation): QueuedRun[] {
  const least = Math.min(...peers.map((task) => active(task, situation)));
  return peers.filter((task) => active(task, situation) - least < unevenBy);
}

type Order = (a: QueuedRun, b: QueuedRun) => number;

function firstOf(tasks: readonly QueuedRun[], ...orders: readonly Order[]): QueuedRun | null {
  const order: Order = (a, b) => orders.reduce((before, by) => before || by(a, b), 0);
  return tasks.toSorted(order)[0] ?? null;
}

function byRank(a: QueuedRun, b: QueuedRun): number {
  return a.rank - b.rank;
}

function byShare(a: QueuedRun, b: QueuedRun, situation: Situation): number {
  return (
    active(a, situation) - active(b, situation) || servedAt(a, situation) - servedAt(b, situation)
  );
}

/** A workflow that few others hold first: so a cold pool divides itself among the workflows. */
function byLoad(a: QueuedRun, b: QueuedRun, { warmElsewhere }: Situation): number {
  const holders = ({ workflow }: QueuedRun) => warmElsewhere.get(workflow) ?? 0;
  return holders(a) - holders(b);
}

function active({ tenant }: QueuedRun, { shares }: Situation): number {
  return shares.get(tenant)?.active ?? 0;
}

function servedAt({ tenant }: QueuedRun, { shares }: Situation): number {
  return shares.get(tenant)?.servedAt ?? 0;
}

function stoodStillMs(task: QueuedRun, { lineServedAt, now }: Situation): number {
  return now - Math.max(task.createdAt.getTime(), lineServedAt(task) ?? 0);
}
