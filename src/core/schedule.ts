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
  /**
   * Its time on GPUs, and what its runs that are under way are expected to take, milliseconds. Only the difference
   * between two tenants means anything.
   */
  readonly chargedMs: number;
  /** When it last was given a backend, milliseconds. */
  readonly servedAt: number;
}

/** A run is expected to take so long while its workflow has never run. */
export const unknownRunMs = 10_000;

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
  /** How long a run of the workflow has a GPU, as far as is known, milliseconds. */
  readonly expectedMs: (task: QueuedRun) => number;
  /** How many backends could run the task at present. */
  readonly ableBackends: (task: QueuedRun) => number;
  /** When a task of the line was last given to a backend, milliseconds. */
  readonly lineServedAt: (task: QueuedRun) => number | null;
  readonly now: number;
  /** How long a line may stand still for the sake of models that are loaded, milliseconds. */
  readonly patienceMs: number;
}

/**
 * A tenant that is so many runs ahead of another waits for it, whatever models are loaded: one backend has as many,
 * the one that runs and the one that is made ready. Long runs are worth a switch of models sooner.
 */
const unevenBy = 2;
const unevenAtMostMs = 60_000;

/** A tenant is owed no more than what it could have had in so long. */
const owedForMs = 10 * 60_000;

/**
 * Chooses the next task for a backend among the heads of all lines; `null` when it can run none.
 *
 * Priority goes first, and ages. Among tasks of one priority, tenants get equal shares of GPU time and a
 * workflow whose models are loaded is preferred, since a switch costs a model load; but a line that has stood
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

/**
 * How much of what it is behind the others is forgiven a tenant that is given a backend, milliseconds: it was away,
 * and is owed nothing for that time. What it is owed is bounded by what the backends could have given it since its
 * first run came, in ten minutes at most. By two of the longest runs it may be behind besides.
 */
export function forgivenMs(
  task: QueuedRun,
  heads: readonly QueuedRun[],
  situation: Situation,
): number {
  const rivals = heads.filter((head) => situation.canRun(head));
  const most = Math.max(...rivals.map((head) => charged(head, situation)));
  const behindMs = most - charged(task, situation) - unevenBy * longestMs(rivals, situation);
  if (behindMs <= 0) return 0;
  const waitedMs = rivals
    .filter(({ tenant }) => tenant === task.tenant)
    .map(({ createdAt }) => situation.now - createdAt.getTime());
  const owedMs = Math.min(owedForMs, Math.max(0, ...waitedMs)) * situation.ableBackends(task);
  return Math.max(0, Math.round(behindMs - owedMs));
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
  const least = Math.min(...peers.map((task) => charged(task, situation)));
  const allowed = Math.min(unevenBy * longestMs(peers, situation), unevenAtMostMs);
  return peers.filter((task) => charged(task, situation) - least < allowed);
}

function longestMs(tasks: readonly QueuedRun[], { expectedMs }: Situation): number {
  return Math.max(1, ...tasks.map(expectedMs));
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
    charged(a, situation) - charged(b, situation) || servedAt(a, situation) - servedAt(b, situation)
  );
}

/** A workflow that few others hold first: so a cold pool divides itself among the workflows. */
function byLoad(a: QueuedRun, b: QueuedRun, { warmElsewhere }: Situation): number {
  const holders = ({ workflow }: QueuedRun) => warmElsewhere.get(workflow) ?? 0;
  return holders(a) - holders(b);
}

function charged({ tenant }: QueuedRun, { shares }: Situation): number {
  return shares.get(tenant)?.chargedMs ?? 0;
}

function servedAt({ tenant }: QueuedRun, { shares }: Situation): number {
  return shares.get(tenant)?.servedAt ?? 0;
}

function stoodStillMs(task: QueuedRun, { lineServedAt, now }: Situation): number {
  return now - Math.max(task.createdAt.getTime(), lineServedAt(task) ?? 0);
}
