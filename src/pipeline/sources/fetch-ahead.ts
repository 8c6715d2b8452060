import { setTimeout as delay } from 'node:timers/promises';
import { doubledMs } from '../../core/backoff.ts';
import { GatewayError } from '../../core/errors.ts';
import { nextUnread } from '../../core/next-unread.ts';
import { readFor } from '../../core/read-once.ts';
import type { Source } from '../../core/task.ts';
import type { Tempo } from '../../core/tempo.ts';
import type { Workflow } from '../../core/workflow.ts';
import type { Notices } from '../../db/notices.ts';
import type { MediaProbe } from '../../media/probe.ts';
import { isPassing } from '../../media/source-errors.ts';
import { plainName, type Spool } from '../../media/spool.ts';
import type { WholePool } from '../../pool/whole-pool.ts';
import type { ClaimStore } from '../../tasks/claim-store.ts';
import type { Happening } from '../../tasks/door.ts';
import type { HeldSourceStore, UnreadRun } from '../../tasks/held-source-store.ts';
import type { SourceLog } from '../../telemetry/source-log.ts';
import { Alarm } from '../../timing/alarm.ts';
import { every } from '../../timing/every.ts';
import type { WorkflowRegistry } from '../../workflows/registry.ts';
import { acquireSource, takenAt } from '../download/acquire-source.ts';
import type { SourceReader } from '../download/source-reader.ts';
import type { FairTurns } from '../fair-turns.ts';
import type { KeptSources } from './kept-sources.ts';

export interface FetchAheadParts {
  readonly sources: Pick<KeptSources, 'getAhead'>;
  readonly held: HeldSourceStore;
  readonly claims: Pick<ClaimStore, 'reject'>;
  readonly workflows: Pick<WorkflowRegistry, 'load' | 'versionOf'>;
  /** With the backends of other gateways. */
  readonly wholePool: Pick<WholePool, 'canRunElsewhere'>;
  readonly notices: Pick<Notices, 'on' | 'off'>;
  readonly spool: Spool;
  readonly sourceReader: SourceReader;
  readonly probe: MediaProbe;
  readonly downloads: FairTurns;
  /** Of the places of downloads, so many at most; the others are for tasks that were begun. */
  readonly mostAtOnce: number;
  /** When so much was fetched ahead, nothing more is begun. */
  readonly limitBytes: number;
  readonly wantsSha256: boolean;
  readonly log: SourceLog;
  readonly tempo: Tempo['sources'];
}

/** Tasks of one tenant whose links do not answer; its others wait until these are begun. */
const mostRestingOfTenant = 10;

/** A run whose links are read next, and what it runs. */
interface Chosen {
  readonly run: UnreadRun;
  readonly workflow: Workflow;
}

/** What has been fetched, or is, for a run that waits. */
interface Ahead {
  readonly tenant: string;
  readonly inputs: readonly string[];
  /** Of those that are whole. */
  readonly bytes: number;
  readonly state: 'fetching' | 'resting' | 'fetched';
}

/**
 * Reads the links of tasks that wait, before they die: the oldest ones first, the tenants in turns. Each run
 * is read by one gateway; others see its record, and take it over when that one is no more.
 */
export class FetchAhead {
  readonly #parts: FetchAheadParts;
  /** Nothing more is begun. */
  readonly #stop = new AbortController();
  /** What was begun is broken off. */
  readonly #graceOver = new AbortController();
  readonly #alarm = new Alarm();
  /** By the run. */
  readonly #ahead = new Map<string, Ahead>();
  /** When each tenant that waits had its last turn, by the count of turns. */
  #servedAt: ReadonlyMap<string, number> = new Map();
  #turns = 0;
  readonly #works = new Set<Promise<void>>();
  #hasGrown = false;
  #forgotAt = Number.NEGATIVE_INFINITY;
  #waking: NodeJS.Timeout | null = null;
  #loop: Promise<void> | null = null;

  constructor(parts: FetchAheadParts) {
    this.#parts = parts;
  }

  start(): void {
    const { notices, log, tempo } = this.#parts;
    notices.on('ready', this.#queueGrew);
    this.#loop ??= every(tempo.aheadEveryMs, this.#stop.signal, () => this.#look(), {
      alarm: this.#alarm,
      onError: (error) => log.lookAheadFailed(error),
    });
  }

  /** Begins nothing more; what is being read has `graceMs`, because its link may not be good again. */
  async stop(graceMs: number): Promise<void> {
    this.#parts.notices.off('ready', this.#queueGrew);
    if (this.#waking) clearTimeout(this.#waking);
    this.#stop.abort();
    const patience = setTimeout(() => this.#graceOver.abort(), graceMs);
    await this.#loop;
    await Promise.all(this.#works);
    clearTimeout(patience);
  }

  /** A move of this gateway has been committed: what was begun, or has ended, is fetched ahead no more. */
  readonly hear = ({ run }: Pick<Happening, 'run'>): void => {
    if (run.state !== 'pending' && this.#ahead.delete(run.id)) this.#alarm.ring();
  };

  readonly #queueGrew = (): void => {
    this.#hasGrown = true;
    this.#wakeLater();
  };

  /** Most of what comes is begun before it is looked at. */
  #wakeLater(): void {
    if (this.#waking || !this.#hasGrown || this.#stop.signal.aborted) return;
    this.#hasGrown = false;
    this.#waking = setTimeout(() => {
      this.#waking = null;
      this.#alarm.ring();
      this.#wakeLater();
    }, this.#parts.tempo.aheadAfterMs + 1);
  }

  async #look(): Promise<void> {
    await this.#forgetBegun();
    while (!this.#stop.signal.aborted && this.#mayBegin) {
      const chosen = await this.#next();
      if (!chosen) return;
      const { run } = chosen;
      const inputs = run.sources.map(({ input }) => input);
      this.#ahead.set(run.id, { tenant: run.tenant, inputs, bytes: 0, state: 'fetching' });
      const work = this.#fetchRun(chosen).finally(() => {
        this.#works.delete(work);
        this.#alarm.ring();
      });
      this.#works.add(work);
    }
  }

  get #mayBegin(): boolean {
    const { spool, mostAtOnce, limitBytes } = this.#parts;
    return spool.hasRoom && this.#count('fetching') < mostAtOnce && this.#bytes < limitBytes;
  }

  /** Other gateways begin some of them, and nobody tells. */
  async #forgetBegun(): Promise<void> {
    const { held, tempo } = this.#parts;
    const now = performance.now();
    if (this.#ahead.size === 0 || now < this.#forgotAt + tempo.aheadEveryMs) return;
    this.#forgotAt = now;
    const waiting = await held.waiting([...this.#ahead.keys()]);
    for (const runId of this.#ahead.keys()) if (!waiting.has(runId)) this.#ahead.delete(runId);
  }

  async #next(): Promise<Chosen | null> {
    const { held, workflows, tempo } = this.#parts;
    const heads = await held.unread(tempo.aheadAfterMs);
    await workflows.load(heads);
    const run = nextUnread(
      heads.filter((head) => this.#mayBeRead(head)),
      this.#servedAt,
    );
    const workflow = run && workflows.versionOf(run);
    if (!workflow) return null;
    this.#turns += 1;
    const tenants = new Set(heads.map(({ tenant }) => tenant));
    const served = [...this.#servedAt].filter(([tenant]) => tenants.has(tenant));
    this.#servedAt = new Map([...served, [run.tenant, this.#turns]]);
    return { run, workflow };
  }

  #mayBeRead(run: UnreadRun): boolean {
    if (this.#ahead.has(run.id)) return false;
    if (this.#count('resting', run.tenant) >= mostRestingOfTenant) return false;
    const workflow = this.#parts.workflows.versionOf(run);
    return workflow !== null && this.#parts.wholePool.canRunElsewhere(workflow, []);
  }

  /** Fetches what the run needs, again and again while a link does not answer. Never throws. */
  async #fetchRun(chosen: Chosen): Promise<void> {
    const { held, log, tempo } = this.#parts;
    const { run } = chosen;
    const { signal } = this.#stop;
    try {
      for (let tries = 0; ; tries += 1) {
        const failures = await this.#inTurn(run, () => this.#fetchAll(chosen, tries > 0));
        const refusal = failures.find(isForGood);
        if (refusal) return await this.#refuse(run, refusal.error);
        const [failure] = failures;
        if (!failure) return this.#note(run.id, { state: 'fetched' });
        if (failures.some(isLost)) return await this.#leave(run);
        log.fetchAheadFailed(run.id, failure.error);
        const pauseMs = doubledMs(tries, tempo);
        for (const { input } of failures) await held.resting({ runId: run.id, input }, pauseMs);
        this.#note(run.id, { state: 'resting' });
        this.#alarm.ring();
        await delay(pauseMs, undefined, { signal });
      }
    } catch (error) {
      if (!signal.aborted) log.fetchAheadFailed(run.id, error);
      this.#ahead.delete(run.id);
      // What cannot be given up now is when this gateway is gone.
      await held.breakOff(run.id, true).catch(() => {});
    }
  }

  /** What this gateway cannot find, whoever begins the run may. */
  async #leave(run: UnreadRun): Promise<void> {
    this.#ahead.delete(run.id);
    await this.#parts.held.breakOff(run.id, false);
  }

  /** Downloads of tasks that were begun go first. Those of the tenant find places beside what is ahead. */
  async #inTurn<T>({ tenant }: UnreadRun, work: () => Promise<T>): Promise<T> {
    const { signal } = this.#stop;
    const key = `${tenant} ahead`;
    return await this.#parts.downloads.run([key], signal, work, { isPatient: true });
  }

  /** Fetches what is still to be read of the run, and returns what failed. */
  async #fetchAll(chosen: Chosen, isAgain: boolean): Promise<Failure[]> {
    const { held } = this.#parts;
    const { run } = chosen;
    this.#note(run.id, { state: 'fetching' });
    const links = this.#linksOf(chosen);
    const toRead = isAgain
      ? await held.readingAgain(run.id)
      : await held.reading(run.id, [...links.keys()]);
    if (toRead.length === 0) {
      // It was begun, or has ended, or another gateway was faster.
      this.#ahead.delete(run.id);
      if (isAgain) await held.giveUp(run.id);
    }
    const failures = toRead.map(async ({ input, brokeOff }): Promise<Failure[]> => {
      try {
        const link = links.get(input);
        if (link) await this.#fetch(chosen, link, brokeOff);
        return [];
      } catch (error) {
        this.#graceOver.signal.throwIfAborted();
        return [{ input, error }];
      }
    });
    return (await Promise.all(failures)).flat();
  }

  /** By the input that each is read for: inputs with one address have one file. */
  #linksOf({ run, workflow }: Chosen): ReadonlyMap<string, Source> {
    const { sourceReader } = this.#parts;
    const read = readFor(run.sources, (input) => takenAt(workflow, input, run.kind).kind);
    const links = [...new Set(read.values())].filter(({ url }) => !sourceReader.isOurs(url));
    return new Map(links.map((link) => [link.input, link]));
  }

  /** Brings one source here, and finds it good. */
  async #fetch(
    { run, workflow }: Chosen,
    { input, url }: Source,
    brokeOff: boolean,
  ): Promise<void> {
    const { sources, held, spool, wantsSha256 } = this.#parts;
    const key = { runId: run.id, input };
    const wish = { wantsSha256, report: () => {}, signal: this.#graceOver.signal };
    const mayBeBegun = run.wasBegun || brokeOff;
    const source = await sources.getAhead(key, mayBeBegun, wish, async (transfer) => {
      const { owner, stored, begin, report, signal } = transfer;
      this.#stop.signal.throwIfAborted();
      if (!stored) await begin();
      const { tenant, kind } = run;
      const taken = takenAt(workflow, input, kind);
      const file = spool.file(owner, input);
      const plain = spool.file(owner, plainName(input));
      const wanted = { url, tenant, ...taken, wantsSha256, stored, ...file, plain };
      return await acquireSource(this.#parts, wanted, report, signal);
    });
    const { bytes, sha256, info, checked } = source;
    this.#note(run.id, { bytes: (this.#ahead.get(run.id)?.bytes ?? 0) + bytes });
    await checked;
    await held.noted(key, { bytes, sha256, info });
  }

  /** The source is none, and stays so: its task need not wait to hear of it. */
  async #refuse(run: UnreadRun, { code, message }: GatewayError): Promise<void> {
    const { claims, held } = this.#parts;
    this.#ahead.delete(run.id);
    await claims.reject(run.id, { code, message, stage: 'download', attempt: run.attempt });
    // Where the task goes on nevertheless, its attempt reads the link.
    await held.giveUp(run.id);
  }

  #note(runId: string, change: Partial<Ahead>): void {
    const ahead = this.#ahead.get(runId);
    // It may have been begun meanwhile.
    if (ahead) this.#ahead.set(runId, { ...ahead, ...change });
  }

  #count(state: Ahead['state'], tenant?: string): number {
    return this.#ahead
      .values()
      .filter((each) => each.state === state && (tenant ?? each.tenant) === each.tenant)
      .reduce((count) => count + 1, 0);
  }

  /** With those that are on their way, and those that were moved out of the spool. */
  get #bytes(): number {
    const { spool } = this.#parts;
    let sum = 0;
    for (const [runId, { inputs, bytes }] of this.#ahead) {
      const names = inputs.flatMap((input) => [input, plainName(input)]);
      const spooled = names.reduce((all, name) => all + spool.bytesOf(runId, name), 0);
      sum += Math.max(bytes, spooled);
    }
    return sum;
  }
}

/** How one of the links could not be read. */
interface Failure<E = unknown> {
  /** Of the link's input. */
  readonly input: string;
  readonly error: E;
}

/** It is refused now, and may have been read before: its task ends only where no attempt finds it, either. */
function isLost({ error }: Failure): boolean {
  return error instanceof GatewayError && error.code === 'source_lost';
}

/** What is wrong with a source stays wrong, unless its server may answer otherwise in a while. */
function isForGood(failure: Failure): failure is Failure<GatewayError> {
  const { error } = failure;
  return error instanceof GatewayError && error.fault === 'source' && !isPassing(error);
}
