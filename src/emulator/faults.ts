/** Ways to misbehave, all of them while running. A real server can do each of them. */
import { once } from 'node:events';
import type { Prompt } from './wire.ts';

/** What only the server itself can do. */
export interface FaultActions {
  dropSockets(): void;
  /** Those that are open now, until they are undeafened. */
  deafenSockets(): void;
  undeafenSockets(): void;
  loseHistory(): void;
  restart(options: { refuseMs?: number }): Promise<void>;
  wedge(): void;
}

/** Faults that may stand from the start. */
export interface InitialFaults {
  readonly slowMs?: number;
  readonly isMuted?: boolean;
  readonly isStalled?: boolean;
}

/** Which prompts a fault is for: all of them, where nothing is said. */
export interface Victims {
  /** Those with a node of this class. */
  readonly classType?: string;
  /** Those with this text in one of their nodes' inputs. */
  readonly marker?: string;
}

interface NodeFailure {
  readonly classType: string;
  readonly message: string;
  times: number;
}

interface Death {
  readonly classType: string;
  readonly refuseMs: number;
  times: number;
}

export class Faults {
  readonly #actions: FaultActions;
  readonly #nodeFailures: NodeFailure[] = [];
  readonly #deaths: Death[] = [];
  #outOfMemory: { times: number; readonly victims: Victims } = { times: 0, victims: {} };
  #truncations = 0;
  #isDripping: (filename: string) => boolean = () => false;
  #slowMs: number;
  #messagesMs = 0;
  #isMuted: boolean;
  #stalled: PromiseWithResolvers<void> | null;

  constructor(actions: FaultActions, initial: InitialFaults = {}) {
    this.#actions = actions;
    this.#slowMs = initial.slowMs ?? 0;
    this.#isMuted = initial.isMuted ?? false;
    this.#stalled = initial.isStalled ? Promise.withResolvers() : null;
  }

  /** Every WebSocket ends without a close frame, as when the process or the network dies. */
  dropSockets(): void {
    this.#actions.dropSockets();
  }

  /**
   * Sockets stay open and answer pings, but say nothing; what they missed is never repeated.
   * `onlyPresent`: those that are open now; who connects later hears everything.
   */
  muteSockets(isMuted: boolean, { onlyPresent = false }: { onlyPresent?: boolean } = {}): void {
    if (isMuted && onlyPresent) {
      this.#actions.deafenSockets();
      return;
    }
    this.#isMuted = isMuted;
    if (!isMuted) this.#actions.undeafenSockets();
  }

  /** `/history` is empty, as after 10 000 prompts of somebody else. */
  loseHistory(): void {
    this.#actions.loseHistory();
  }

  /**
   * Queue, running prompt, history, counter, cache and `temp/` are gone, sockets drop, and for
   * `refuseMs` nobody listens. `input/` and `output/` stay. Resolves when it listens again.
   */
  restart(options: { refuseMs?: number } = {}): Promise<void> {
    return this.#actions.restart(options);
  }

  /** The next `times` prompts end in a `torch.OutOfMemoryError`. The last call counts. */
  runOutOfMemory(times = 1, victims: Victims = {}): void {
    this.#outOfMemory = { times, victims };
  }

  /**
   * The process dies, the next `times` that a node of this class would run, and comes back as after
   * `restart`: a task that kills whatever runs it.
   */
  dieOn(
    classType: string,
    { times = 1, refuseMs = 0 }: { times?: number; refuseMs?: number } = {},
  ): void {
    this.#deaths.push({ classType, refuseMs, times });
  }

  /** The next `times` runs of a node class end in a `RuntimeError`. */
  failNode(classType: string, message: string, times = 1): void {
    this.#nodeFailures.push({ classType, message, times });
  }

  /** The GPU hangs: no node starts, ticks or ends until it is let go. Interrupts wait as well. */
  stall(isStalled: boolean): void {
    if (isStalled) {
      this.#stalled ??= Promise.withResolvers();
    } else {
      this.#stalled?.resolve();
      this.#stalled = null;
    }
  }

  /** Each HTTP answer comes that much later; what was asked for is done at once. */
  slow({ ms }: { ms: number }): void {
    this.#slowMs = ms;
  }

  /** Each WebSocket message comes that much later, in its order. */
  delayMessages({ ms }: { ms: number }): void {
    this.#messagesMs = ms;
  }

  /** The thread that runs prompts is dead: pending stays pending. Only a restart helps. */
  wedge(): void {
    this.#actions.wedge();
  }

  /** The next `times` answers of `/view` break off halfway. */
  truncateViews(times = 1): void {
    this.#truncations = times;
  }

  /** From now on `/view` sends these files a byte at a time, also what is under way. */
  dripViews(isDripping: (filename: string) => boolean): void {
    this.#isDripping = isDripping;
  }

  // What follows is for the server.

  isDripping(filename: string): boolean {
    return this.#isDripping(filename);
  }

  get slowMs(): number {
    return this.#slowMs;
  }

  get messagesMs(): number {
    return this.#messagesMs;
  }

  get isMuted(): boolean {
    return this.#isMuted;
  }

  async whileStalled(signal: AbortSignal): Promise<void> {
    if (this.#stalled === null) return;
    const aborted = Promise.withResolvers<never>();
    const abort = () => aborted.reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    await Promise.race([this.#stalled.promise, aborted.promise]);
    signal.removeEventListener('abort', abort);
  }

  takeOutOfMemory(prompt: Prompt): boolean {
    const { times, victims } = this.#outOfMemory;
    if (times === 0 || !isAmong(victims, prompt)) return false;
    this.#outOfMemory.times -= 1;
    return true;
  }

  /** Returns where nobody has to die; else the signal, which stops the process, ends the wait. */
  async dieOrGoOn(classType: string, signal: AbortSignal): Promise<void> {
    const death = this.#deaths.find((each) => each.classType === classType && each.times > 0);
    if (death === undefined) return;
    signal.throwIfAborted();
    death.times -= 1;
    const stopped = once(signal, 'abort');
    void this.#actions.restart({ refuseMs: death.refuseMs });
    await stopped;
    signal.throwIfAborted();
  }

  takeNodeFailure(classType: string): string | null {
    const failure = this.#nodeFailures.find(
      (each) => each.classType === classType && each.times > 0,
    );
    if (failure === undefined) return null;
    failure.times -= 1;
    return failure.message;
  }

  takeTruncation(): boolean {
    if (this.#truncations === 0) return false;
    this.#truncations -= 1;
    return true;
  }
}

function isAmong({ classType, marker }: Victims, prompt: Prompt): boolean {
  const nodes = Object.values(prompt);
  if (classType !== undefined && !nodes.some((node) => node.class_type === classType)) return false;
  if (marker === undefined) return true;
  return nodes.some(({ inputs }) => JSON.stringify(inputs ?? {}).includes(marker));
}
