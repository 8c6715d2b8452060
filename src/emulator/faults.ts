/** Ways to misbehave, all of them while running. A real server can do each of them. */

/** What only the server itself can do. */
export interface FaultActions {
  dropSockets(): void;
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

interface NodeFailure {
  readonly classType: string;
  readonly message: string;
  times: number;
}

export class Faults {
  readonly #actions: FaultActions;
  readonly #nodeFailures: NodeFailure[] = [];
  #outOfMemory = 0;
  #truncations = 0;
  #slowMs: number;
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

  /** Sockets stay open and answer pings, but say nothing; what they missed is never repeated. */
  muteSockets(isMuted: boolean): void {
    this.#isMuted = isMuted;
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

  /** The next `times` prompts end in a `torch.OutOfMemoryError`. */
  runOutOfMemory(times = 1): void {
    this.#outOfMemory = times;
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

  /** The thread that runs prompts is dead: pending stays pending. Only a restart helps. */
  wedge(): void {
    this.#actions.wedge();
  }

  /** The next `times` answers of `/view` break off halfway. */
  truncateViews(times = 1): void {
    this.#truncations = times;
  }

  // What follows is for the server.

  get slowMs(): number {
    return this.#slowMs;
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

  takeOutOfMemory(): boolean {
    if (this.#outOfMemory === 0) return false;
    this.#outOfMemory -= 1;
    return true;
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
