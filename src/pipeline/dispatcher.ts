import type { Backend } from '../comfyui/backend.ts';
import type { Claim } from '../core/attempt.ts';
import {
  forgivenMs,
  lineOf,
  type QueuedRun,
  type Situation,
  schedule,
  unknownRunMs,
} from '../core/schedule.ts';
import type { Tempo } from '../core/tempo.ts';
import type { Notices } from '../db/notices.ts';
import type { Pool } from '../pool/pool.ts';
import type { WholePool } from '../pool/whole-pool.ts';
import type { ClaimStore, SeenShare } from '../tasks/claim-store.ts';
import type { QueueStats } from '../tasks/queue-stats.ts';
import type { TaskLog } from '../telemetry/task-log.ts';
import { Alarm } from '../timing/alarm.ts';
import { every } from '../timing/every.ts';
import type { WorkflowRegistry } from '../workflows/registry.ts';
import type { RunningAttempts } from './running-attempts.ts';

/** Lines whose last service is remembered. */
const mostLines = 1_000;

export interface DispatcherParts {
  readonly claims: ClaimStore;
  readonly pool: Pool;
  /** With the backends of other gateways. */
  readonly wholePool: Pick<WholePool, 'canRunElsewhere' | 'fitness'>;
  readonly stats: Pick<QueueStats, 'durations'>;
  readonly workflows: WorkflowRegistry;
  readonly running: RunningAttempts;
  readonly notices: Notices;
  readonly log: TaskLog;
  /** How long a line may stand still for the sake of models that are loaded, milliseconds. */
  readonly patienceMs: number;
  /** How many sources are downloaded at once. */
  readonly downloads: number;
  /** What is being uploaded at the end has so long, milliseconds. */
  readonly graceMs: number;
  readonly tempo: Tempo['dispatcher'];
}

/** Gives tasks to backends that have room, whenever there may be some. */
export class Dispatcher {
  readonly #parts: DispatcherParts;
  readonly #stop = new AbortController();
  readonly #servedAt = new Map<string, number>();
  readonly #alarm = new Alarm();
  #loop: Promise<void> | null = null;

  constructor(parts: DispatcherParts) {
    this.#parts = parts;
  }

  start(): void {
    const { notices, running, log, tempo } = this.#parts;
    notices.on('ready', this.#queueGrew);
    notices.on('canceled', (runId) => running.lose(runId));
    this.#loop ??= every(tempo.backstopMs, this.#stop.signal, () => this.#fillRoom(), {
      alarm: this.#alarm,
      onError: (error) => log.dispatchFailed(error),
    });
  }

  /** There may be something to do. */
  readonly wake = this.#alarm.ring;

  /** Takes up the attempt of a dead gateway, on the backend where its prompt is. */
  adopt(claim: Claim): void {
    const { pool, running } = this.#parts;
    const backend = pool.get(claim.attempt.backend);
    if (!backend) return;
    const { workflow, tenant } = claim.run;
    running.begin(claim, pool.seatAt(backend, { taskId: claim.task.id, workflow, tenant }));
  }

  /** Hands over: takes nothing new, lets go of what runs, interrupts no GPU. */
  async stop(): Promise<void> {
    this.#parts.notices.off('ready', this.#queueGrew);
    this.#stop.abort();
    await this.#loop;
    await this.#parts.running.detach(this.#parts.graceMs);
  }

  readonly #queueGrew = (): void => {
    this.#parts.pool.expect(true);
    this.wake();
  };

  /**
   * Claims a task for each backend that has room: its GPU is idle, or will want the next one. A task takes
   * the seat there once its sources are here; until then others may be claimed for it as well.
   */
  async #fillRoom(): Promise<void> {
    const { pool, claims, workflows, running } = this.#parts;
    const backends = pool.withRoom();
    if (backends.length === 0 || !running.mayBegin) return;
    const look = async () => {
      const found = await claims.heads();
      await workflows.load(found);
      return found;
    };
    let heads = await look();
    for (const backend of backends) {
      if (this.#stop.signal.aborted) return;
      if (await this.#fill(backend, heads)) heads = await look();
    }
    pool.expect(heads.length > 0);
  }

  /** Gives the backend the task that is its next one; tells whether one was claimed. */
  async #fill(backend: Backend, heads: readonly QueuedRun[]): Promise<boolean> {
    const { claims, pool, workflows, running, downloads } = this.#parts;
    const able = heads.filter((head) => pool.mayClaim(backend, head, downloads));
    if (able.length === 0) return false;
    const situation = await this.#situation(backend, heads);
    const chosen = schedule(able, situation);
    const graph = chosen && workflows.versionOf(chosen);
    if (!graph) return false;
    // Tenants that may have no more under way for now are rivals all the same.
    const ms = forgivenMs(chosen, heads, situation);
    const seenMs = situation.shares.get(chosen.tenant)?.forgivenMs ?? 0;
    const forgiveness = ms > 0 ? { ms, seenMs } : null;
    const claim = await claims.claim(chosen.id, backend.label, forgiveness);
    if (!claim) return false;
    this.#noteService(claim.run);
    const { tenant, avoid } = chosen;
    const request = { taskId: claim.task.id, workflow: graph.name, tenant, graph, avoid };
    const seat = pool.seatFor(backend, request);
    if (seat) running.begin(claim, seat);
    // It went away meanwhile.
    else await running.giveBack(claim);
    return true;
  }

  async #situation(backend: Backend, heads: readonly QueuedRun[]) {
    const { pool, wholePool, workflows, patienceMs } = this.#parts;
    return {
      backend: backend.label,
      warm: backend.holds,
      warmElsewhere: holders(pool.backends.filter((other) => other !== backend)),
      canRun: (run: QueuedRun) => {
        const workflow = workflows.versionOf(run);
        return workflow !== null && backend.canRun(workflow);
      },
      othersCanRun: (run: QueuedRun) => {
        const workflow = workflows.versionOf(run);
        const besides = [...run.avoid, backend.label];
        return workflow !== null && wholePool.canRunElsewhere(workflow, besides);
      },
      ableBackends: (run: QueuedRun) => {
        const workflow = workflows.versionOf(run);
        return workflow === null ? 0 : wholePool.fitness(workflow).inService;
      },
      ...(await this.#shares(heads)),
      lineServedAt: (run: QueuedRun) => this.#servedAt.get(lineOf(run)) ?? null,
      now: Date.now(),
      patienceMs,
    };
  }

  /** Only where there is anybody to share with. */
  async #shares(
    heads: readonly QueuedRun[],
  ): Promise<Pick<Situation, 'expectedMs'> & { readonly shares: ReadonlyMap<string, SeenShare> }> {
    const { claims, stats } = this.#parts;
    const tenants = new Set(heads.map(({ tenant }) => tenant));
    const isShared = tenants.size > 1;
    const durations = isShared ? await stats.durations() : new Map<string, number>();
    return {
      shares: isShared
        ? await claims.shares([...tenants], durations)
        : new Map<string, SeenShare>(),
      expectedMs: ({ workflow }) => durations.get(workflow) ?? unknownRunMs,
    };
  }

  #noteService(run: Pick<QueuedRun, 'workflow' | 'tenant'>): void {
    const line = lineOf(run);
    this.#servedAt.delete(line);
    this.#servedAt.set(line, Date.now());
    const [oldest] = this.#servedAt.keys();
    if (this.#servedAt.size > mostLines && oldest !== undefined) this.#servedAt.delete(oldest);
  }
}

/** How many backends hold, or are about to hold, each workflow's models. */
function holders(backends: readonly Backend[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { holds } of backends) {
    if (holds !== null) counts.set(holds, (counts.get(holds) ?? 0) + 1);
  }
  return counts;
}
