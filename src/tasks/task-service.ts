import type { Fitness } from '../core/backend.ts';
import { checkDelivery } from '../core/delivery.ts';
import { serversWanted } from '../core/demand.ts';
import { GatewayError, invalidField, taskNotFound } from '../core/errors.ts';
import { expectedWaitMs, type Waiting } from '../core/expected-wait.ts';
import { withArticle } from '../core/media.ts';
import { didYouMean } from '../core/nearest.ts';
import { type Pause, pauseOf } from '../core/pause.ts';
import { begunBefore, countOf } from '../core/queue-place.ts';
import { severalOf } from '../core/result-format.ts';
import { checkSize } from '../core/size-plan.ts';
import { isStorable } from '../core/storable-text.ts';
import type { NewTask, Source, TaskOutput, TaskRequest } from '../core/task.ts';
import { hasEnded } from '../core/task.ts';
import { isLast } from '../core/task-event.ts';
import { isUploadUrl } from '../core/upload.ts';
import type { Timeouts, Workflow } from '../core/workflow.ts';
import { reaching } from '../db/errors.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { EventFeed } from './event-feed.ts';
import type { PauseStore } from './pause-store.ts';
import { countedAtMost, type QueueStats, type StateCounts, totals } from './queue-stats.ts';
import type { TaskQuotas } from './task-quotas.ts';
import type { TaskOwner, TaskStore, TaskWithStages } from './task-store.ts';
import type { UploadService } from './upload-service.ts';

/** A task as dialects show it. */
export interface TaskView extends Omit<TaskWithStages, 'outputs'> {
  /** The main one first; none before it has completed. */
  readonly outputs: readonly (TaskOutput & {
    readonly url: string;
    readonly thumbnailUrl: string | null;
  })[];
}

/** Where a task stands in the queue. */
export interface QueuePlace {
  /** 1 is the next to be begun; 1000 stands for anything from there on. */
  readonly position: number;
  /** `null` while nothing is known of how long its predecessors take, or it is paused. */
  readonly expectedStart: Date | null;
  /** What keeps it from being begun; `null`: nothing. */
  readonly pause: Pause | null;
}

/** A workflow as people who watch the pool see it. */
export interface WorkflowView {
  readonly name: string;
  readonly counts: StateCounts;
  /** Median time on the GPU of its last runs, milliseconds. */
  readonly durationMs: number | null;
  /** How long a new task would wait, milliseconds. */
  readonly expectedWaitMs: number | null;
  readonly runsOn: number;
  readonly of: number;
  /** By backend, why it does not run there; nothing for those who see no backends. */
  readonly whyNot: Readonly<Record<string, readonly string[]>>;
  /** Why its files as they are now are of no use, or that they are gone. */
  readonly problem: string | null;
}

/** What a workflow asks of the pool. */
export interface WorkflowDemand {
  readonly name: string;
  readonly waiting: number;
  readonly running: number;
  /** Since when its oldest task waits; `null` where none does. */
  readonly waitingSince: Date | null;
  readonly serversWanted: number;
}

export interface TaskServiceParts {
  readonly tasks: TaskStore;
  readonly stats: QueueStats;
  readonly pauses: Pick<PauseStore, 'list'>;
  readonly store: Pick<ObjectStore, 'urlOf'>;
  readonly workflows: KnownWorkflows;
  readonly pool: { fitness(workflow: Workflow): Fitness };
  readonly feed: Pick<EventFeed, 'follow'>;
  /** For workflows that have none of their own, milliseconds. */
  readonly timeouts: Required<Timeouts>;
  /** Refuses, at the door, a source that could never be fetched; `field` is where it was named. */
  readonly checkSource: (url: string, field: string) => void;
  /** The same for where a result is to be put. */
  readonly checkTarget: (url: string) => void;
  readonly uploads: Pick<UploadService, 'check'>;
  readonly quotas: Pick<TaskQuotas, 'roomFor' | 'noRoom'>;
  /** Whether tasks wait where no backend can run them, unless they or their workflow say otherwise. */
  readonly queueWhenUnavailable: boolean;
}

interface KnownWorkflows {
  readonly names: readonly string[];
  find(name: string): Workflow | null;
  /** Why files that lie in the folder are no workflow, or not the one that `find` finds. */
  entry(name: string): { readonly problem: GatewayError | null } | null;
  versionOf(task: Pick<NewTask, 'workflow' | 'workflowHash'>): Workflow | null;
  /** The values as they are kept. */
  checkArguments(
    workflow: Workflow,
    values: Readonly<Record<string, unknown>>,
  ): Readonly<Record<string, unknown>>;
}

/** A source, and where in the request it was named. */
interface NamedSource extends Source {
  readonly field: string;
}

const nobody: StateCounts = { pending: 0, processing: 0, completed: 0, failed: 0, canceled: 0 };

/** A workflow without a file takes no new tasks. */
const nowhere: Fitness = { able: 0, inService: 0, unable: new Map(), total: 0 };
const gone = 'Its file is gone; its tasks run the versions that they began with';

/** What every dialect calls. */
export class TaskService {
  readonly #parts: TaskServiceParts;

  constructor(parts: TaskServiceParts) {
    this.#parts = parts;
  }

  /**
   * Takes a task on. When this returns, its record is kept.
   *
   * @throws GatewayError `workflow_unknown`, `workflow_mismatch`, `workflow_unavailable`,
   *   `invalid_request`, `source_invalid`, `source_refused`, `source_not_found` for an upload that is
   *   not there, `limit_exceeded`, `queue_full`, `unavailable`.
   */
  async submit(request: TaskRequest): Promise<TaskView> {
    const { uploads } = this.#parts;
    const { task, named } = this.#examine(request);
    const sources: Source[] = [];
    for (const { input, url, field } of named) {
      const name = isUploadUrl(url) ? await uploads.check(url, task.tenant ?? '', field) : null;
      sources.push(name === null ? { input, url } : { input, url, name });
    }
    return await this.#view(await this.#insert({ ...task, sources }, request.isLimited ?? true));
  }

  /**
   * Finds out whether a task would be taken on once its uploads are there: before a file is kept for it.
   *
   * @throws GatewayError as `submit` does.
   */
  check(request: TaskRequest): void {
    this.#examine(request);
  }

  async #insert(task: NewTask, isLimited: boolean): Promise<TaskWithStages> {
    const { tasks, quotas } = this.#parts;
    const { tenant = '' } = task;
    const room = quotas.roomFor({ tenant, isLimited });
    if (!room) return await reaching(tasks.insert(task));
    const written = await reaching(tasks.insert(task, room));
    if (!written) throw await quotas.noRoom(tenant, room);
    return written;
  }

  #examine(request: TaskRequest): { task: NewTask; named: readonly NamedSource[] } {
    const { workflows, timeouts } = this.#parts;
    const { url, inputs, mayWait: _, isLimited: __, ...wishes } = request;
    if (!isStorable(wishes.params)) {
      throw new GatewayError(
        'invalid_request',
        'The request holds a NUL character or half of a character, or is nested too deeply',
      );
    }
    const workflow = this.#workflowFor(request);
    checkDelivery(wishes.delivery, workflow);
    checkSize(workflow, wishes.size);
    if (wishes.delivery.putUrl !== null) this.#parts.checkTarget(wishes.delivery.putUrl);
    const { files, values } = split(workflow, inputs);
    const { queueMs, runMs } = { ...timeouts, ...workflow.timeouts };
    const named = this.#sources(workflow, url, files);
    const task: NewTask = {
      queueTimeoutMs: queueMs,
      runTimeoutMs: runMs,
      ...wishes,
      kind: workflow.kind,
      workflowHash: workflow.hash,
      sources: named.map(({ input, url }) => ({ input, url })),
      arguments: workflows.checkArguments(workflow, values),
    };
    return { task, named };
  }

  /** @throws GatewayError `task_not_found`, also for a task of another owner. */
  async find(id: string, owner: TaskOwner): Promise<TaskView> {
    const task = await reaching(this.#parts.tasks.find(id, owner));
    if (!task) throw taskNotFound();
    return await this.#view(task);
  }

  /** The tasks whose ids begin with these eight hex digits. */
  async findByIdStart(start: string, owner: TaskOwner): Promise<TaskView[]> {
    const found = await reaching(this.#parts.tasks.findByIdStart(start, owner));
    return await Promise.all(found.map((task) => this.#view(task)));
  }

  /**
   * The task once it has ended, wherever that happens.
   *
   * @throws GatewayError `task_not_found`; the signal's reason when it aborts before.
   */
  async ended(id: string, owner: TaskOwner, signal: AbortSignal): Promise<TaskView> {
    // Listening comes before looking: what ends in between is heard of.
    using follower = this.#parts.feed.follow(id);
    for (;;) {
      const task = await this.find(id, owner);
      if (hasEnded(task.state)) return task;
      while (!(await follower.next(signal)).some(isLast));
    }
  }

  /** Where the task stands in the queue; `null` when it does not wait. */
  async placeOf(task: TaskView): Promise<QueuePlace | null> {
    if (task.state !== 'pending') return null;
    const { stats, pauses, workflows, pool } = this.#parts;
    const [ahead, durations, paused] = await reaching(
      Promise.all([stats.ahead(task), stats.durations(), pauses.list()]),
    );
    const pause = pauseOf(paused, task);
    // What is paused lets it pass, unless it is paused as well.
    const before = ahead.filter((each) => pause !== null || pauseOf(paused, each) === null);
    const begun = begunBefore(before, task, durations);
    const count = countOf(begun);
    const workflow = workflows.versionOf(task);
    const backends = workflow && !pause ? pool.fitness(workflow).inService : 0;
    const waitMs = count < countedAtMost ? expectedWaitMs(begun, durations, backends) : null;
    return {
      position: Math.min(count + 1, countedAtMost),
      expectedStart: waitMs === null ? null : this.#notBefore(task, waitMs),
      pause,
    };
  }

  /** The newest tasks of the owner. */
  async newest(limit: number, owner: TaskOwner): Promise<TaskView[]> {
    const tasks = await reaching(this.#parts.tasks.newest(limit, owner));
    return await Promise.all(tasks.map((task) => this.#view(task)));
  }

  /**
   * Cancels the task; one that was canceled before stays so.
   *
   * @throws GatewayError `task_not_found`; `task_already_ended` when it completed or failed.
   */
  async cancel(id: string, owner: TaskOwner): Promise<void> {
    const outcome = await reaching(this.#parts.tasks.cancel(id, owner));
    if (!outcome) throw taskNotFound();
    const { state } = outcome;
    if (state !== 'canceled') {
      throw new GatewayError('task_already_ended', `The task has already ${state}`);
    }
  }

  /** Which of these ids are those of the tenant's tasks. */
  async ownAmong(ids: readonly string[], tenant: string): Promise<ReadonlySet<string>> {
    return await reaching(this.#parts.tasks.ownAmong(ids, tenant));
  }

  /** How many tasks of the tenant, or of all of them, are in each state, as of the last second. */
  async countByState(tenant: string | null): Promise<StateCounts> {
    return totals(await reaching(this.#countsOf(tenant)));
  }

  /**
   * The workflows of the folder and of all tasks, each with its queue and where it runs. A tenant sees counts of its
   * own tasks, and nothing of single backends.
   */
  async workflows(tenant: string | null): Promise<WorkflowView[]> {
    const { stats, pauses, workflows, pool } = this.#parts;
    const [all, counts, durations, paused] = await reaching(
      Promise.all([stats.counts(), this.#countsOf(tenant), stats.durations(), pauses.list()]),
    );
    const waiting: Waiting[] = [...all].map(([workflow, { pending }]) => ({
      workflow,
      count: pending,
    }));
    const names = new Set([...workflows.names, ...counts.keys()]);
    return [...names].sort().map((name) => {
      const workflow = workflows.find(name);
      const { able, inService, unable, total } = workflow ? pool.fitness(workflow) : nowhere;
      const problem = workflows.entry(name)?.problem?.message ?? (workflow ? null : gone);
      return {
        name,
        counts: counts.get(name) ?? nobody,
        durationMs: durations.get(name) ?? null,
        expectedWaitMs: expectedWaitMs(waiting, durations, isPaused(paused, name) ? 0 : inService),
        runsOn: able,
        of: total,
        whyNot: tenant === null ? Object.fromEntries(unable) : {},
        problem,
      };
    });
  }

  /**
   * What each workflow of the folder and of all tasks wants, for its work to be done in that time, milliseconds.
   * What waits for a pause wants nothing.
   */
  async demand(withinMs: number): Promise<WorkflowDemand[]> {
    const { stats, pauses, workflows } = this.#parts;
    const [counts, durations, waitingSince, paused] = await reaching(
      Promise.all([stats.counts(), stats.durations(), stats.waitingSince(), pauses.list()]),
    );
    const unpaused = paused.length > 0 ? await reaching(stats.unpaused()) : null;
    const names = new Set([...workflows.names, ...counts.keys()]);
    return [...names].sort().map((name) => {
      const { pending, processing } = counts.get(name) ?? nobody;
      const durationMs = durations.get(name) ?? null;
      return {
        name,
        waiting: pending,
        running: processing,
        waitingSince: waitingSince.get(name) ?? null,
        serversWanted: serversWanted(
          { pending: unpaused ? (unpaused.get(name) ?? 0) : pending, processing, durationMs },
          withinMs,
        ),
      };
    });
  }

  async #countsOf(tenant: string | null): Promise<ReadonlyMap<string, StateCounts>> {
    const { stats } = this.#parts;
    return tenant === null ? await stats.counts() : await stats.countsOf(tenant);
  }

  #workflowFor({
    workflow: name,
    kind,
    mayWait: asked,
  }: Pick<TaskRequest, 'workflow' | 'kind' | 'mayWait'>): Workflow {
    const { workflows, pool } = this.#parts;
    const workflow = workflows.find(name);
    if (!workflow) {
      const field = 'workflow';
      const problem = workflows.entry(name)?.problem;
      if (problem) {
        const message = `The workflow ${name} cannot be used: ${problem.message}`;
        throw new GatewayError('workflow_unavailable', message, { field });
      }
      const known = workflows.names.join(', ') || 'none';
      const message = `There is no workflow ${name}${didYouMean(name, workflows.names) || '.'} Known: ${known}`;
      throw new GatewayError('workflow_unknown', message, { field });
    }
    if (kind !== null && workflow.kind !== kind) {
      throw new GatewayError(
        'workflow_mismatch',
        `The workflow ${name} works on ${severalOf(workflow.kind)}, the task is for ${severalOf(kind)}`,
        { field: 'type' },
      );
    }
    const mayWait = asked ?? workflow.mayWait ?? this.#parts.queueWhenUnavailable;
    const { able, unable, total } = pool.fitness(workflow);
    const [reasons] = unable.values();
    // Of a backend that was never reached it is not known what it can run.
    if (!mayWait && able === 0 && reasons && unable.size === total) {
      throw new GatewayError(
        'workflow_unavailable',
        `No ComfyUI server can run the workflow ${name}: ${reasons.join('. ')}`,
        { field: 'workflow' },
      );
    }
    return workflow;
  }

  /** Where the files come from, the main input's first. */
  #sources(
    { name, inputs }: Workflow,
    url: string | null,
    files: Readonly<Record<string, unknown>>,
  ): NamedSource[] {
    const [main] = inputs;
    if (!main && url !== null) {
      throw invalidField('url', `the workflow ${name} takes no file`);
    }
    if (main && url !== null && Object.hasOwn(files, main.name)) {
      throw invalidField(
        `inputs.${main.name}`,
        'is the file that url names already; give one of them',
      );
    }
    return inputs.flatMap((input) => {
      const isMain = input === main && url !== null;
      const field =
        isMain || (input === main && inputs.length === 1) ? 'url' : `inputs.${input.name}`;
      const address = isMain ? url : files[input.name];
      if (address == null) {
        if (!input.isRequired) return [];
        throw invalidField(
          field,
          `the workflow ${name} needs the address of ${withArticle(input.kind)}`,
        );
      }
      if (typeof address !== 'string') throw invalidField(field, 'must be the address of a file');
      // Whether an upload is there, the database has to tell.
      if (!isUploadUrl(address)) this.#parts.checkSource(address, field);
      return [{ input: input.name, url: address, field }];
    });
  }

  #notBefore({ runAfter }: TaskView, waitMs: number): Date {
    return new Date(Math.max(Date.now() + waitMs, runAfter?.getTime() ?? 0));
  }

  async #view(task: TaskWithStages): Promise<TaskView> {
    const { store } = this.#parts;
    const outputs = (task.outputs ?? []).map(async (each) => ({
      ...each,
      url: each.deliveredTo ?? (await store.urlOf(each.key)),
      thumbnailUrl: each.thumbnailKey ? await store.urlOf(each.thumbnailKey) : null,
    }));
    return { ...task, outputs: await Promise.all(outputs) };
  }
}

/** Whether nobody's tasks of the workflow are begun. */
function isPaused(paused: readonly Pause[], workflow: string): boolean {
  return paused.some(
    ({ kind, name }) => kind === 'pool' || (kind === 'workflow' && name === workflow),
  );
}

/** A workflow's files and its parameters come by name, in one object. */
function split(
  workflow: Workflow,
  inputs: Readonly<Record<string, unknown>>,
): Record<'files' | 'values', Readonly<Record<string, unknown>>> {
  const isFile = (name: string) => workflow.inputs.some((input) => input.name === name);
  const entries = Object.entries(inputs);
  return {
    files: Object.fromEntries(entries.filter(([name]) => isFile(name))),
    values: Object.fromEntries(entries.filter(([name]) => !isFile(name))),
  };
}
