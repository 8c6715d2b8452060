import { EventEmitter } from 'node:events';
import { type BackendReport, type BackendState, isInService } from '../core/backend.ts';
import { backoffMs } from '../core/backoff.ts';
import type { NodeCatalogue } from '../core/node-catalogue.ts';
import { realTempo, type Tempo } from '../core/tempo.ts';
import type { Workflow } from '../core/workflow.ts';
import type { Logger } from '../telemetry/logger.ts';
import { pause } from '../timing/pause.ts';
import type { BackendAddress } from './address.ts';
import { CircuitBreaker } from './circuit-breaker.ts';
import { ComfyClient } from './client.ts';
import { Hearing } from './hearing.ts';
import { Identity } from './identity.ts';
import { Inputs } from './inputs.ts';
import type { LongAnswers } from './long-answers.ts';
import type { ComfyMessage } from './messages.ts';
import { type GpuSeat, mostUnfetched, Occupancy, type Occupant } from './occupancy.ts';
import { RunTimes } from './run-times.ts';
import { ComfySocket } from './socket.ts';

const holdsPrompt = 'it still runs a prompt that was withdrawn';
const onTrial = 'on trial: the next task decides';

interface BackendEventMap {
  /** Its GPU fell idle. */
  idle: [];
  /** A task may be made ready for it. */
  room: [];
  /** Nothing that waits in front of it will have its GPU for now. */
  unavailable: [];
  message: [message: ComfyMessage];
  /** The WebSocket was lost or came back: what it said may be incomplete. */
  reconnected: [];
  /** Something that its report tells has changed. */
  changed: [];
  /** It has told of other node classes, models or limits than before. */
  catalogue: [];
}

/** The waits of a backend and of its parts. */
export type BackendTempo = Pick<Tempo, 'backend' | 'breaker' | 'socket' | 'comfyui' | 'inputs'>;

/** One ComfyUI server: its HTTP client, its WebSocket and the state that follows from both. */
export class Backend extends EventEmitter<BackendEventMap> implements AsyncDisposable {
  readonly address: BackendAddress;
  readonly client: ComfyClient;
  /** How inputs come onto it. */
  readonly inputs: Inputs;
  /** What is known of how long it takes. */
  readonly runTimes = new RunTimes();
  readonly #identity = new Identity();
  readonly #occupancy = new Occupancy();
  readonly #socket: ComfySocket;
  readonly #hearing: Hearing;
  readonly #logger: Logger;
  readonly #tempo: Tempo['backend'];
  readonly #stop = new AbortController();
  readonly #background: Promise<void>[] = [];

  #state: BackendState = 'offline';
  #reason = 'not reached yet';
  #since = new Date();
  /** The same instant, by `performance.now()`. */
  #sinceMs = 0;
  /** Why it is away, drained (`null`: it is not) or not trusted. */
  #absence = this.#reason;
  #draining: string | null = null;
  #distrust = '';
  readonly #breaker: CircuitBreaker;
  #lastActiveAt: Date | null = null;
  #promptCount = -1;
  /** Ends with the present connection. */
  #connection = new AbortController();
  /** Why it could not be reached, since it last was. */
  readonly #toldUnreached = new Set<string>();
  /** How often in a row it did not tell what it is. */
  #unidentified = 0;
  /** Prompts of ours that could not be withdrawn. */
  readonly #left = new Set<string>();

  /** Backends of one pool take turns with their long answers. */
  constructor(
    address: BackendAddress,
    logger: Logger,
    tempo: BackendTempo = realTempo,
    longAnswers?: LongAnswers,
  ) {
    super();
    // One listener for each prompt that is followed here, and the pool's.
    this.setMaxListeners(50);
    this.address = address;
    this.client = new ComfyClient(address, tempo.comfyui, longAnswers);
    this.#logger = logger.child({ backend: address.label });
    this.#tempo = tempo.backend;
    this.#breaker = new CircuitBreaker(tempo.breaker);
    this.inputs = new Inputs(this.client, this.#logger, tempo.inputs);
    this.#socket = new ComfySocket(address, tempo.socket);
    this.#hearing = new Hearing({
      client: this.client,
      socket: this.#socket,
      logger: this.#logger,
      tempo: tempo.backend,
    });
    // Of one that was taken, the state has a reason of its own.
    this.#occupancy.on('gpu', () => this.#settle('its GPU is free'));
    this.#occupancy.on('next', () => this.emit('changed'));
    this.#occupancy.on('room', () => {
      if (this.#state === 'busy') this.#settle('its results are fetched');
      this.emit('room');
    });
    this.#socket.on('open', () => void this.#opened());
    this.#socket.on('close', (reason) => this.#lost(`connection lost: ${reason}`));
    this.#socket.on('renewing', () => this.emit('reconnected'));
    this.#socket.on('unreachable', (reason) => this.#unreached(`not reached: ${reason}`));
    this.#socket.on('refused', (how) => {
      this.#unreached(`not reached: ${how}`, 'backend.socket-refused');
    });
    this.#socket.on('message', (message) => {
      this.#heard();
      this.emit('message', message);
    });
  }

  /** Its address without credentials: the same in the database, the log and the API. */
  get label(): string {
    return this.address.label;
  }

  get state(): BackendState {
    return this.#state;
  }

  /** Whether prompts are known to it as jobs, which it can cancel in one step. */
  get hasJobs(): boolean {
    return this.#identity.hasJobs;
  }

  /** The workflow of its last prompt, whose models it holds; `null` after a restart. */
  get warm(): string | null {
    return this.#occupancy.warm;
  }

  /** The workflow whose models it will hold when all have run that have a seat here or may soon. */
  get holds(): string | null {
    return this.#occupancy.holds;
  }

  /** Whether it takes tasks, now or when it has done what it does. */
  get isInService(): boolean {
    return isInService(this.#state);
  }

  /**
   * The id under which a prompt is submitted now, so that its messages come to us. While there is no
   * WebSocket it is any other: such a prompt is followed over HTTP.
   */
  get clientId(): string {
    return this.#socket.clientId ?? 'tmlsr';
  }

  start(): void {
    if (this.#background.length > 0) return;
    this.#background.push(this.#socket.run(this.#stop.signal), this.#keepDescribed());
  }

  /** Sets the server's `input` folder as it is here, if there is one, and makes sure of it. */
  shareInputs(path: string | null): void {
    if (!this.inputs.share(path) || !this.#identity.isCurrent) return;
    this.#background.push(this.#learnInputs());
  }

  /** Stops giving it work, for this reason, or gives it work again. What it has, it ends. */
  drain(isDraining: boolean, reason = 'drained by an operator'): void {
    const draining = isDraining ? reason : null;
    if (draining === this.#draining) return;
    this.#draining = draining;
    this.#settle('taken into service again');
  }

  /** Whether no task has a seat here. */
  get isVacant(): boolean {
    return this.#occupancy.isVacant;
  }

  /** Whether another task may be claimed for it: nobody has the seat in front of its GPU, or may soon. */
  get hasRoom(): boolean {
    return this.hasSeat && !this.#occupancy.isExpecting;
  }

  /** Whether the seat in front of its GPU can be taken: by one at a time, and only while it takes any. */
  get hasSeat(): boolean {
    // What decides whether it is well again is one task, alone.
    const isOnTrial = this.#breaker.isHalfOpen && !this.isVacant;
    const isReady = this.isInService && this.#identity.isCurrent && this.#left.size === 0;
    return isReady && this.#occupancy.next === null && !isOnTrial && !this.#isBehind;
  }

  /** Whether so many results are still to be fetched that it should make no more. */
  get #isBehind(): boolean {
    return this.#occupancy.unfetched >= mostUnfetched;
  }

  /** How many of the tenant's tasks have its GPU or the seat in front of it. */
  seatsOf(tenant: string): number {
    return this.#occupancy.seatsOf(tenant);
  }

  /** Keeps the seat in front of the GPU for a task that was claimed, until this is disposed of. */
  expect(occupant: Occupant): Disposable {
    return this.#occupancy.expect(occupant);
  }

  /** How long its GPU has been idle, milliseconds. */
  get idleMs(): number {
    return this.#state === 'idle' ? performance.now() - this.#sinceMs : 0;
  }

  /** Takes the seat in front of the GPU, or `null` when there is none to have. */
  takeNext(occupant: Occupant): Disposable | null {
    return this.hasSeat ? this.#occupancy.takeNext(occupant) : null;
  }

  /** Takes the GPU, or `null` when the backend is not idle. */
  takeGpu(occupant: Occupant): GpuSeat | null {
    return this.#state === 'idle' ? this.#occupancy.takeGpu(occupant) : null;
  }

  /** Takes the GPU for a prompt that is there already, whatever else is, reachable or not. */
  adopt(occupant: Occupant): GpuSeat {
    return this.#occupancy.takeGpu(occupant);
  }

  /** Why it cannot run the workflow; nothing when it can, or while nothing is known. */
  whyNot(workflow: Workflow): readonly string[] {
    return this.#identity.whyNot(workflow);
  }

  /** The nodes that it has; `null` while it was never reached. */
  get catalogue(): NodeCatalogue | null {
    return this.#identity.catalogue;
  }

  /** Of ComfyUI; `null` where it does not tell. */
  get version(): string | null {
    return this.#identity.version;
  }

  /** Whether it has told what it can run. */
  get isKnown(): boolean {
    return this.#identity.isKnown;
  }

  canRun(workflow: Workflow): boolean {
    return this.whyNot(workflow).length === 0;
  }

  /** It refused the workflow for want of something: it is not asked again until it has changed. */
  markUnable(workflow: Workflow, reason: string): void {
    this.#identity.markUnable(workflow, reason);
    this.#logger.warn({ workflow: workflow.name, reason }, 'backend.unable');
    this.emit('changed');
  }

  /**
   * A prompt was posted: from now on the models of its workflow are the loaded ones. `count` is the
   * server's number of prompts; where it goes back, the server has restarted unnoticed.
   */
  posted(workflow: string, count: number): void {
    if (count < this.#promptCount) this.#logger.info({ count }, 'backend.restarted');
    this.#promptCount = count;
    this.#occupancy.posted(workflow);
  }

  /**
   * Lets go of the models that it holds. `false`: it has something to do, or cannot be reached. A prompt
   * that comes in between runs first, and its models go after it.
   */
  async unload(signal: AbortSignal): Promise<boolean> {
    if (this.#state !== 'idle' || this.#occupancy.next !== null) return false;
    try {
      await this.client.freeMemory(signal);
    } catch (error) {
      signal.throwIfAborted();
      this.#logger.warn({ err: error }, 'backend.not-unloaded');
      return false;
    }
    this.#occupancy.cool();
    this.emit('changed');
    return true;
  }

  /** How long it has worked on what it has, milliseconds; `null` while it has nothing. */
  get runningMs(): number | null {
    return this.#occupancy.runningMs;
  }

  /** A task came to its end here. */
  succeeded(): void {
    const wasOnTrial = this.#breaker.isHalfOpen;
    this.#breaker.succeed();
    if (wasOnTrial) this.#settle('its trial went well');
  }

  /** A task failed for a reason that may lie here; a few in a row end its service for a while. */
  failed(reason: string): void {
    if (this.#breaker.fail()) this.#rest(reason);
  }

  /** It does not do its work: it gets none until it has rested. */
  quarantine(reason: string): void {
    if (this.#breaker.isOpen) return;
    this.#breaker.trip();
    this.#rest(reason);
  }

  /** Whether there is a socket that should hear of what is posted now. */
  get isListening(): boolean {
    return this.#socket.clientId !== null;
  }

  /** HTTP has told the end of a prompt that the socket is to tell too: one that does not is made anew. */
  expectEnd(promptId: string): void {
    void this.#hearing.expectEnd(promptId, this.#stop.signal);
  }

  /**
   * A prompt of ours could not be taken off it, because it does not answer or heeds no interrupt. It gets
   * no other until that one is gone, and is not trusted any more when that takes too long.
   */
  leaveBehind(promptId: string): void {
    if (this.#left.has(promptId)) return;
    this.#left.add(promptId);
    this.#logger.warn({ prompt: promptId }, 'backend.holds-prompt');
    this.#settle(holdsPrompt);
    this.#background.push(this.#untilGone(promptId));
  }

  report(workflows: Iterable<Workflow>): BackendReport {
    const { running, next, unfetched, warm, busyShare } = this.#occupancy;
    return {
      state: this.#state,
      reason: this.#reason,
      since: this.#since.toISOString(),
      lastActiveAt: this.#lastActiveAt?.toISOString() ?? null,
      version: this.#identity.version,
      devices: this.#identity.devices,
      task: running?.taskId ?? null,
      nextTask: next?.taskId ?? null,
      unfetched,
      warm,
      busyShare: Math.round(busyShare * 1_000) / 1_000,
      cannotRun: this.#identity.cannotRun(workflows),
      isKnown: this.isKnown,
      maxInputBytes: this.inputs.maxBytes,
      sharesInputs: this.inputs.isShared,
    };
  }

  /** It is well known what it is before it gets any work; a server that starts may need a while. */
  async #opened(): Promise<void> {
    this.#heard();
    this.#toldUnreached.clear();
    this.emit('reconnected');
    // Only its socket was made anew.
    if (this.#identity.isCurrent) return;
    this.#connection = new AbortController();
    const signal = AbortSignal.any([this.#stop.signal, this.#connection.signal]);
    while (!signal.aborted) {
      // Also of connections before: what it says may be megabytes, and is of no use.
      if (this.#unidentified > 0) await pause(this.#identifyPauseMs, signal);
      try {
        await this.#identify(signal);
        this.#unidentified = 0;
        this.#identity.confirm();
        return this.#settle('connected');
      } catch (error) {
        if (signal.aborted) return;
        this.#unidentified += 1;
        this.#unknown((error as Error).message);
      }
    }
  }

  get #identifyPauseMs(): number {
    const { firstIdentifyPauseMs, longestIdentifyPauseMs } = this.#tempo;
    const pauses = { firstPauseMs: firstIdentifyPauseMs, longestPauseMs: longestIdentifyPauseMs };
    return backoffMs(this.#unidentified - 1, pauses, Math.random());
  }

  #unknown(why: string): void {
    const reason = `not known yet: ${why}`;
    if (reason !== this.#absence) this.#logger.warn({ reason }, 'backend.unidentified');
    this.#away(reason);
  }

  #unreached(reason: string, event = 'backend.unreachable'): void {
    // A server that is away for days is told of once.
    if (!this.#toldUnreached.has(reason)) this.#logger.warn({ reason }, event);
    this.#toldUnreached.add(reason);
    // The socket was made anew, and the server is gone by now.
    if (this.#identity.isCurrent) this.#lost(reason);
    else this.#away(reason);
  }

  #lost(reason: string): void {
    this.#connection.abort();
    this.#identity.doubt();
    // Whether it restarted shows later; that it may have is enough not to count on its memory.
    this.#occupancy.cool();
    this.#away(reason);
    this.emit('reconnected');
  }

  #away(reason: string): void {
    this.#absence = reason;
    this.#settle(reason);
  }

  #heard(): void {
    this.#lastActiveAt = new Date();
  }

  async #identify(signal: AbortSignal): Promise<void> {
    const [description, hasJobs] = await Promise.all([
      this.client.describe(signal),
      this.client.hasJobs(signal),
      this.inputs.learn(signal),
    ]);
    // The longest answer by far is asked of a server that has given all others.
    const catalogue = await this.client.nodeCatalogue(signal);
    signal.throwIfAborted();
    if (this.#identity.learn({ ...description, hasJobs, catalogue })) this.emit('catalogue');
    const { version } = description;
    this.#logger.info({ version, hasJobs, nodes: catalogue.size }, 'backend.identified');
  }

  async #keepDescribed(): Promise<void> {
    let learntAt = performance.now();
    while (!this.#stop.signal.aborted) {
      await pause(this.#tempo.describeEveryMs, this.#stop.signal);
      if (!this.#identity.isCurrent) continue;
      try {
        this.#identity.learnDevices((await this.client.describe(this.#stop.signal)).devices);
        if (performance.now() - learntAt < this.#tempo.catalogueEveryMs) continue;
        learntAt = performance.now();
        // A model that was added since.
        const catalogue = await this.client.nodeCatalogue(this.#stop.signal);
        if (this.#identity.learnNodes(catalogue)) this.emit('catalogue');
        await this.inputs.learn(this.#stop.signal);
        this.emit('room');
      } catch (error) {
        // Whether it is gone is the WebSocket's to say.
        this.#logger.debug({ err: error }, 'backend.undescribed');
      }
    }
  }

  async #learnInputs(): Promise<void> {
    try {
      await this.inputs.learn(this.#stop.signal);
      this.emit('changed');
    } catch (error) {
      this.#logger.debug({ err: error }, 'backend.inputs-unknown');
    }
  }

  #rest(reason: string): void {
    this.#distrust = reason;
    this.#settle(reason);
    this.#background.push(this.#tryLater());
  }

  /** Looks until the prompt is off it. Whoever wanted it off goes on asking. */
  async #untilGone(promptId: string): Promise<void> {
    const { signal } = this.#stop;
    const since = performance.now();
    while (!signal.aborted) {
      const isThere = await this.#has(promptId);
      if (!isThere) break;
      if (performance.now() - since >= this.#tempo.heldAfterMs) this.quarantine(holdsPrompt);
      await pause(this.#tempo.lookForLeftMs, signal);
    }
    this.#left.delete(promptId);
    this.#settle('a prompt that was withdrawn is gone');
  }

  /** Whether the prompt runs there or waits. What does not answer may have it. */
  async #has(promptId: string): Promise<boolean> {
    try {
      const { running, pending, requeued } = await this.client.queue(this.#stop.signal);
      const goesOn = requeued.some(({ root }) => root === promptId);
      return running.has(promptId) || pending.has(promptId) || goesOn;
    } catch (error) {
      this.#logger.debug({ err: error }, 'backend.unlooked');
      return true;
    }
  }

  /** Waits until it has rested and answers with an empty queue, then lets one task try it. */
  async #tryLater(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await pause(this.#breaker.restMs, this.#stop.signal);
      try {
        const { running, pending } = await this.client.queue(this.#stop.signal);
        if (running.size + pending.size > 0) continue;
        this.#breaker.tryOut();
        return this.#settle(onTrial);
      } catch (error) {
        this.#logger.debug({ err: error }, 'backend.untried');
      }
    }
  }

  /**
   * The one place where the state changes: it follows from everything that is known. `event`, which made
   * it look, is the reason where the state has none of its own.
   */
  #settle(event: string): void {
    const from = this.#state;
    const { state: to, reason } = this.#derived(event);
    if (to === from && reason === this.#reason) return;
    if (to !== from) {
      this.#since = new Date();
      this.#sinceMs = performance.now();
    }
    this.#state = to;
    this.#reason = reason;
    this.emit('changed');
    if (to === from) return;
    const isRoutine = (state: BackendState) => state === 'idle' || state === 'busy';
    const level = isRoutine(from) && isRoutine(to) ? 'debug' : 'info';
    this.#logger[level]({ from, to, reason }, 'backend.state');
    if (!isRoutine(to)) return void this.emit('unavailable');
    if (to === 'idle') this.emit('idle');
  }

  /**
   * The first line counts that holds:
   *
   * | state         | when                                                                        |
   * |---------------|-----------------------------------------------------------------------------|
   * | `quarantined` | it stalled, stopped running prompts, or failed three times in a row: it     |
   * |               | rests, from five seconds to five minutes, and one task is its trial         |
   * | `draining`    | an operator wants it free, or it is about to change hands: it ends what it  |
   * |               | has                                                                         |
   * | `busy`        | a task of ours has its GPU, even where the connection is lost               |
   * | `offline`     | no WebSocket, or it has not told over it yet what it is and can run         |
   * | `busy`        | a prompt of ours is on it that could not be withdrawn, or too many results  |
   * |               | are still to be fetched from it                                             |
   * | `idle`        | none of these                                                               |
   */
  #derived(event: string): { state: BackendState; reason: string } {
    if (this.#breaker.isOpen) return { state: 'quarantined', reason: this.#distrust };
    if (this.#draining !== null) return { state: 'draining', reason: this.#draining };
    if (this.#occupancy.running) return { state: 'busy', reason: 'it has a task' };
    if (!this.#identity.isCurrent) return { state: 'offline', reason: this.#absence };
    if (this.#left.size > 0) return { state: 'busy', reason: holdsPrompt };
    if (this.#isBehind) return { state: 'busy', reason: 'its results are still to be fetched' };
    return { state: 'idle', reason: this.#breaker.isHalfOpen ? onTrial : event };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#background);
    await this.client[Symbol.asyncDispose]();
  }
}
