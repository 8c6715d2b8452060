import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { GatewayProcess } from '../support/gateway-process.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import type { Trouble } from './plan.ts';
import type { Random } from './random.ts';

/** The service at the tempo of these tests. */
const ownProgram = fileURLToPath(new URL('./gateway-main.ts', import.meta.url));

/** So often a gateway is started that cannot start yet: its database is away, or a dead one's lock not free. */
const mostStarts = 20;

export interface ReplicaOptions {
  readonly env: Readonly<Record<string, string>>;
  readonly random: Random;
  /** What is run instead of the service: a copy of it with a mistake in it. */
  readonly program?: string;
}

/** What a gateway is started for. */
export type Fate = Extract<Trouble, { kind: 'crash' | 'doze' }>;

const lookEveryMs = 50;

/** A place where a gateway runs; as under a supervisor, another one follows each that ends. */
export class Replica implements AsyncDisposable {
  /** Ends that nobody asked for. */
  readonly broken: string[] = [];
  readonly #options: ReplicaOptions;
  #gateway: GatewayProcess | null = null;
  #proxy: TcpProxy | null = null;
  /** Gateways are replaced one after the other. */
  #turn: Promise<void> = Promise.resolve();
  #isOver = false;

  private constructor(options: ReplicaOptions) {
    this.#options = options;
  }

  static async start(options: ReplicaOptions): Promise<Replica> {
    const replica = new Replica(options);
    await replica.kill();
    return replica;
  }

  /** How clients reach it; `null` while nothing runs. */
  get proxy(): TcpProxy | null {
    return this.#proxy;
  }

  /** Ends what runs and starts another one, to which something is going to happen if it is told so. */
  async kill(fate: Fate | null = null): Promise<void> {
    const turn = this.#turn.then(async () => {
      const victim = this.#gateway;
      this.#gateway = null;
      await victim?.end('SIGKILL');
      await this.#launch(fate);
    });
    this.#turn = turn;
    await turn;
  }

  /** Stands still for so long, its connections open. */
  sleep(ms: number): void {
    const sleeper = this.#gateway;
    if (!sleeper?.isRunning) return;
    sleeper.freeze();
    setTimeout(() => sleeper.thaw(), ms).unref();
  }

  async #launch(fate: Fate | null): Promise<void> {
    const { env, random, program = ownProgram } = this.#options;
    for (let starts = 1; !this.#isOver; starts += 1) {
      // One that ended before it listened may have met its fate.
      const fateNow = starts === 1 ? fate : null;
      try {
        const gateway = await GatewayProcess.start(env, { program, fate: fateNow });
        this.#gateway = gateway;
        this.#proxy = await TcpProxy.before(gateway.client.url, { random });
        void this.#follow(gateway, this.#proxy, fateNow?.kind === 'crash');
        if (fateNow?.kind === 'doze') void wake(gateway, fateNow.ms);
        return;
      } catch (error) {
        if (starts === mostStarts) throw error;
        await delay(250);
      }
    }
  }

  async #follow(gateway: GatewayProcess, proxy: TcpProxy, isBound: boolean): Promise<void> {
    const code = await gateway.exited;
    if (this.#proxy === proxy) this.#proxy = null;
    await proxy[Symbol.asyncDispose]();
    // Whoever killed it has taken it away before, and starts the next one.
    if (this.#isOver || this.#gateway !== gateway) return;
    if (!isBound) {
      const last = JSON.stringify(gateway.log.slice(-3));
      this.broken.push(`a gateway ended by itself, with ${code}: ${last}`);
    }
    await this.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.#turn.catch(() => {});
    await this.#gateway?.[Symbol.asyncDispose]();
  }
}

/** Thaws it so long after it stood still. */
async function wake(gateway: GatewayProcess, afterMs: number): Promise<void> {
  while (gateway.isRunning && !gateway.isDozing) await delay(lookEveryMs);
  await delay(afterMs);
  if (gateway.isRunning) gateway.thaw();
}
