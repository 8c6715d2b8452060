/** A priority is worth this much waiting: a task of priority 5 overtakes one of 4 that came less before. */
export const agePerPriorityMs = 10 * 60_000;
export const defaultPriority = 5;

/** The first task of a line, or one that failed before and stands in no line. */
export interface QueuedTask {
  readonly id: string;
  readonly workflow: string;
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
  readonly canRun: (workflow: string) => boolean;
  /** Whether some other backend, that does not stand in `avoid`, could run the task. */
  readonly othersCanRun: (task: QueuedTask) => boolean;
  readonly shares: ReadonlyMap<string, Share>;
  /** When a task of the line was last given to a backend, milliseconds. */
  readonly lineServedAt: (task: QueuedTask) => number | null;
  readonly now: number;
  /** How long a line may stand still for the sake of models that are loaded, milliseconds. */
  readonly patienceMs: number;
}

/** A tenant may be so many tasks ahead of another before that goes before loaded models. */
const unevenBy = 2;

/**
 * Chooses the next task for a backend among the heads of all lines; `null` when it can run none.
 *
 * Priority goes first, and ages. Among tasks of one priority, tenants get equal shares and a workflow
 * whose models are loaded is preferred, since a switch costs a model load; but a line that has stood
 * still for `patienceMs`, or a tenant that has fallen behind, is not passed over for that.
 */
export function schedule(heads: readonly QueuedTask[], situation: Situation): QueuedTask | null {
  const usable = heads.filter((task) => isFor(task, situation)).sort(byRank);
  const [first] = usable;
  if (!first) return null;
  const peers = usable.filter(({ priority }) => priority === first.priority);
  const [fairest = first] = peers.toSorted(
    (a, b) => byShare(a, b, situation) || byLoad(a, b, situation) || byRank(a, b),
  );
  const overdue = peers.find((task) => stoodStillMs(task, situation) >= situation.patienceMs);
  if (overdue) return overdue;
  const warm = peers
    .filter(({ workflow }) => workflow === situation.warm)
    .sort((a, b) => byShare(a, b, situation) || byRank(a, b))[0];
  if (!warm) return fairest;
  const ahead = active(warm, situation) - active(fairest, situation);
  return ahead >= unevenBy ? fairest : warm;
}

/** The lines among which tasks are equal but for their order. */
export function lineOf({ workflow, tenant }: Pick<QueuedTask, 'workflow' | 'tenant'>): string {
  return JSON.stringify([workflow, tenant]);
}

function isFor(task: QueuedTask, { backend, canRun, othersCanRun }: Situation): boolean {
  if (!canRun(task.workflow)) return false;
  // Elsewhere first; where there is no elsewhere, here again.
  return !task.avoid.includes(backend) || !othersCanRun(task);
}

function byRank(a: QueuedTask, b: QueuedTask): number {
  return a.rank - b.rank;
}

function byShare(a: QueuedTask, b: QueuedTask, situation: Situation): number {
  if (a.tenant === b.tenant) return 0;
  return (
    active(a, situation) - active(b, situation) || servedAt(a, situation) - servedAt(b, situation)
  );
}

/** A workflow that few others hold first: so a cold pool divides itself among the workflows. */
function byLoad(a: QueuedTask, b: QueuedTask, { warm, warmElsewhere }: Situation): number {
  const holders = ({ workflow }: QueuedTask) =>
    workflow === warm ? -1 : (warmElsewhere.get(workflow) ?? 0);
  return holders(a) - holders(b);
}

function active({ tenant }: QueuedTask, { shares }: Situation): number {
  return shares.get(tenant)?.active ?? 0;
}

function servedAt({ tenant }: QueuedTask, { shares }: Situation): number {
  return shares.get(tenant)?.servedAt ?? 0;
}

function stoodStillMs(task: QueuedTask, { lineServedAt, now }: Situation): number {
  return now - Math.max(task.createdAt.getTime(), lineServedAt(task) ?? 0);
}
