import { setTimeout as delay } from 'node:timers/promises';
import type { CrashScene } from './crash-scene.ts';
import { GatewayProcess } from './gateway-process.ts';

/** After everything, what was taken on has so long to end. */
const patienceMs = 180_000;

/** The death, or the sleep, of a gateway. */
export interface Death {
  readonly of: GatewayProcess;
  readonly at: number;
}

/** Replicas of the gateway, each started again when it was killed. */
export class Fleet implements AsyncDisposable {
  /** Every process that there was. */
  readonly all: GatewayProcess[] = [];
  readonly deaths: Death[] = [];
  readonly #scene: CrashScene;
  readonly #present: GatewayProcess[] = [];
  readonly #frozen = new Set<GatewayProcess>();

  private constructor(scene: CrashScene) {
    this.#scene = scene;
  }

  static async start(scene: CrashScene, size: number): Promise<Fleet> {
    const fleet = new Fleet(scene);
    for (let i = 0; i < size; i += 1) await fleet.#startAt(i);
    return fleet;
  }

  /** Those that can answer. */
  get present(): GatewayProcess[] {
    return this.#present.filter((each) => each.isRunning && !this.#frozen.has(each));
  }

  get any(): GatewayProcess {
    return this.present[Math.floor(Math.random() * this.present.length)] as GatewayProcess;
  }

  async submit(): Promise<string> {
    return await this.any.client.submit(this.#scene.task);
  }

  /** Returns when no task is open any more, or when they have had their time. */
  async settled(): Promise<void> {
    const deadline = Date.now() + patienceMs;
    for (;;) {
      const { pending, processing } = await this.any.client.counts();
      if (pending + processing === 0 || Date.now() > deadline) return;
      await delay(500);
    }
  }

  async kill(index: number): Promise<void> {
    const victim = this.#present[index] as GatewayProcess;
    this.deaths.push({ of: victim, at: Date.now() });
    await victim.end('SIGKILL');
    await this.#startAt(index);
  }

  freeze(index: number): void {
    const victim = this.#present[index] as GatewayProcess;
    this.deaths.push({ of: victim, at: Date.now() });
    this.#frozen.add(victim);
    victim.freeze();
  }

  thaw(index: number): void {
    const sleeper = this.#present[index] as GatewayProcess;
    sleeper.thaw();
    this.#frozen.delete(sleeper);
  }

  async #startAt(index: number): Promise<void> {
    const gateway = await GatewayProcess.start(this.#scene.env);
    this.#present[index] = gateway;
    this.all.push(gateway);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.all.map((gateway) => gateway[Symbol.asyncDispose]()));
  }
}

/** Clients that submit a task every so often, at any gateway. */
export class Load {
  readonly #fleet: Fleet;
  readonly #taken: string[] = [];
  readonly #stop = new AbortController();
  readonly #loop: Promise<void>;

  constructor(fleet: Fleet, everyMs: number) {
    this.#fleet = fleet;
    this.#loop = this.#run(everyMs);
  }

  async #run(everyMs: number): Promise<void> {
    while (!this.#stop.signal.aborted) {
      // A task whose answer a kill cut off may be on record; it is judged with the others.
      await this.#fleet.submit().then(
        (id) => this.#taken.push(id),
        () => {},
      );
      await delay(everyMs, undefined, { signal: this.#stop.signal }).catch(() => {});
    }
  }

  /** Stops submitting and waits for the end of everything; tells what was taken on and is gone. */
  async end(): Promise<string[]> {
    this.#stop.abort();
    await this.#loop;
    await this.#fleet.settled();
    const broken: string[] = [];
    for (const id of this.#taken) {
      await this.#fleet.any.client.task(id).catch((error) => broken.push(error.message));
    }
    return broken;
  }
}
