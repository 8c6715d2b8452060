import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Milestone } from '../../src/telemetry/milestones.ts';
import { bareEnv } from './bare-env.ts';
import { dozing } from './dozing.ts';
import { GatewayClient } from './gateway-client.ts';
import { patienceMs } from './patience.ts';

const asTested = fileURLToPath(new URL('./gateway-main.ts', import.meta.url));
const crashAt = new URL('./crash-at.ts', import.meta.url).href;
const settingOf = { crash: 'CRASH_AT', doze: 'DOZE_AT' };
/** As `npm start` does it. */
const asStarted = ['--max-semi-space-size=4'];

/** A line of its log. */
export interface LogEvent {
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface GatewayProcessOptions {
  /** Arguments for Node, before the program. */
  readonly nodeArgs?: readonly string[];
  /** What is run; the service at the tempo of tests unless it is named. */
  readonly program?: string;
  readonly fate?: Fate | null;
}

/** What a gateway does to itself where it comes to the milestone for the nth time. */
export interface Fate {
  /** It kills itself, or stands still until it is thawed. */
  readonly kind: 'crash' | 'doze';
  readonly milestone: Milestone;
  readonly nth: number;
}

/** The service as its own process, to be stopped and killed like a real one. */
export class GatewayProcess implements AsyncDisposable {
  /** Everything that it has logged. */
  readonly log: readonly LogEvent[];
  readonly #child: ChildProcess;
  readonly #exited: Promise<number | null>;
  #client = new GatewayClient('');

  private constructor(child: ChildProcess, log: readonly LogEvent[]) {
    this.#child = child;
    this.log = log;
    this.#exited = once(child, 'exit').then(([code]) => code);
  }

  static async start(
    env: Readonly<Record<string, string>>,
    { nodeArgs = [], program = asTested, fate = null }: GatewayProcessOptions = {},
  ): Promise<GatewayProcess> {
    const args = [...asStarted, ...nodeArgs, ...(fate ? ['--import', crashAt] : []), program];
    const doom = fate ? { [settingOf[fate.kind]]: `${fate.milestone}:${fate.nth}` } : {};
    const child = spawn(process.execPath, args, {
      // An empty value counts as unset and keeps a developer's .env out.
      env: { ...bareEnv, DATABASE_URL: '', DATABASE_POOL_SIZE: '4', PORT: '0', ...env, ...doom },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const log: LogEvent[] = [];
    const gateway = new GatewayProcess(child, log);
    const started = Promise.withResolvers<GatewayClient>();
    createInterface({ input: child.stdout }).on('line', (line) => {
      const event = JSON.parse(line);
      log.push(event);
      if (event.msg === 'gateway.started') started.resolve(new GatewayClient(event.url));
    });
    const reject = (reason: string) => {
      const last = log.at(-1)?.msg ?? 'nothing';
      started.reject(new Error(`The gateway ${reason}; it said last: ${last}`));
    };
    const tooLate = setTimeout(() => reject('did not listen in time'), patienceMs);
    gateway.exited.then(() => reject('ended before it listened'));
    try {
      gateway.#client = await started.promise;
      return gateway;
    } catch (error) {
      await gateway.end('SIGKILL');
      throw error;
    } finally {
      clearTimeout(tooLate);
    }
  }

  /** To speak with it. */
  get client(): GatewayClient {
    return this.#client;
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves when it has ended, with its exit code, `null` after a kill. */
  get exited(): Promise<number | null> {
    return this.#exited;
  }

  /** Ends it with the signal and returns its exit code, `null` after a kill. */
  async end(signal: 'SIGKILL' | 'SIGTERM' | 'SIGINT'): Promise<number | null> {
    this.#child.kill(signal);
    return await this.#exited;
  }

  /** Whether it stands still where it was to. */
  get isDozing(): boolean {
    return this.isRunning && this.log.at(-1)?.msg === dozing;
  }

  /** Stops it where it is, its connections open, as a machine does that sleeps. */
  freeze(): void {
    this.#child.kill('SIGSTOP');
  }

  thaw(): void {
    this.#child.kill('SIGCONT');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.isRunning) await this.end('SIGKILL');
  }
}
