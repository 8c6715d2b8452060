import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { request } from 'undici';
import { patienceMs } from './patience.ts';

const program = fileURLToPath(new URL('../../src/emulator/main.ts', import.meta.url));

export interface EmulatorProcessOptions {
  /** Without one, any port that is free; from then on it stays the same. */
  readonly port?: number;
  readonly slowdown?: number;
  /** Without one, a folder of its own, which outlives kills and goes at the end. */
  readonly dataDir?: string;
  /** The largest request that it takes; without one, ComfyUI's default. */
  readonly maxUploadMegabytes?: number;
}

/** A run as `GET /emulator/runs` tells it. */
export interface EmulatedRun {
  readonly promptId: string;
  readonly startedAt: number;
  readonly endedAt: number | null;
  readonly model: string;
  readonly loadedModel: boolean;
  readonly outcome: 'running' | 'success' | 'error' | 'interrupted' | 'lost';
}

/** The emulator as its own process, to be killed like a real ComfyUI. */
export class EmulatorProcess implements AsyncDisposable {
  readonly url: string;
  /** Where `input/`, `output/` and `temp/` lie. */
  readonly dataDir: string;
  readonly #args: readonly string[];
  readonly #ownsDataDir: boolean;
  #child: ChildProcess;

  private constructor(
    { url, child }: Listening,
    options: Required<EmulatorProcessOptions>,
    owns: boolean,
  ) {
    this.url = url;
    this.#child = child;
    this.dataDir = options.dataDir;
    this.#args = argsOf({ ...options, port: Number(new URL(url).port) });
    this.#ownsDataDir = owns;
  }

  static async start({
    port = 0,
    slowdown = 1,
    dataDir,
    maxUploadMegabytes = 100,
  }: EmulatorProcessOptions = {}): Promise<EmulatorProcess> {
    const folder = dataDir ?? (await mkdtemp(join(tmpdir(), 'tmlsr-emulator-')));
    const options = { port, slowdown, dataDir: folder, maxUploadMegabytes };
    const listening = await launch(argsOf(options));
    return new EmulatorProcess(listening, options, dataDir === undefined);
  }

  /** What ran since it was started or restarted: a killed process forgets. */
  async runs(): Promise<EmulatedRun[]> {
    const signal = AbortSignal.timeout(patienceMs);
    const { body } = await request(`${this.url}/emulator/runs`, { signal });
    return (await body.json()) as EmulatedRun[];
  }

  /** Ends it without a word, as the kernel ends what eats too much memory. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }

  /** Starts it again where it was: same port, same files. Kills it first if it still runs. */
  async restart(): Promise<void> {
    await this.kill();
    this.#child = (await launch(this.#args)).child;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    if (this.#ownsDataDir) await rm(this.dataDir, { recursive: true, force: true });
  }
}

interface Listening {
  readonly url: string;
  readonly child: ChildProcess;
}

function argsOf(options: Required<EmulatorProcessOptions>): readonly string[] {
  const { port, slowdown, dataDir, maxUploadMegabytes } = options;
  return [
    ...['--port', String(port), '--slowdown', String(slowdown), '--data-dir', dataDir],
    ...['--max-upload-size', String(maxUploadMegabytes)],
  ];
}

/** It ends with this process, however this one ends. */
async function launch(args: readonly string[]): Promise<Listening> {
  const child = fork(program, args, {
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const started = once(child, 'message', { signal: AbortSignal.timeout(patienceMs) });
  const exited = once(child, 'exit').then(([code]) => {
    throw new Error(`The emulator ended with code ${code} before it listened`);
  });
  exited.catch(() => {});
  started.catch(() => {});
  try {
    const [message] = (await Promise.race([started, exited])) as [{ listening: string }];
    return { url: message.listening, child };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}
