/**
 * A server that speaks ComfyUI 0.3.64's protocol as recorded, reads files as that or a newer version
 * does, and really upscales, on CPU. For the demo, for tests and for benches; it says of itself that
 * it is one.
 */
import './requirements.ts';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Engine } from './engine.ts';
import { Executor } from './executor.ts';
import { Faults, type InitialFaults } from './faults.ts';
import { type Folders, openFolders } from './folders.ts';
import { HttpServer } from './http-server.ts';
import { Ledger, type PromptRun } from './ledger.ts';
import { comfyVersions, type Loaders, newestLoaders } from './loaders/loaders.ts';
import { Catalog } from './object-info.ts';
import { PromptQueue } from './prompt-queue.ts';
import type { RouteContext } from './routes.ts';
import { Sockets } from './sockets.ts';
import { Uploads } from './upload.ts';

export interface EmulatorOptions {
  /** 0, the default, takes any free port. */
  readonly port?: number;
  readonly host?: string;
  /** Without one, a fresh folder that is removed at the end. */
  readonly dataDir?: string;
  readonly maxUploadBytes?: number;
  /** How many times its seconds EmulatorSleep takes: 1, the default, is as fast as asked. */
  readonly slowdown?: number;
  /** Node classes that this server lacks. */
  readonly withoutNodes?: readonly string[];
  /** Model files that this server lacks. */
  readonly withoutModels?: readonly string[];
  /** Other names under which this server has model files, by their usual ones. */
  readonly renamedModels?: Readonly<Record<string, string>>;
  /** Whether it has `/api/jobs`, as ComfyUI 0.33 has it and 0.3.64 has not. */
  readonly hasJobs?: boolean;
  readonly faults?: InitialFaults;
  /** How it reads pictures and clips, and what version it tells: as the newest, unless said otherwise. */
  readonly loaders?: Loaders;
}

const defaultMaxUploadBytes = 100 * 1024 * 1024;

export class Emulator {
  /** Ways to misbehave. */
  readonly faults: Faults;
  readonly #host: string;
  readonly #dataDir: string;
  readonly #ownsDataDir: boolean;
  readonly #processOptions: Omit<ProcessOptions, 'folders'>;
  readonly #http: HttpServer;
  readonly #engine = new Engine();
  readonly #ledger = new Ledger();
  readonly #closing = new AbortController();
  /** One restart after the other; it never rejects. */
  #restarts: Promise<void> = Promise.resolve();
  #process: EmulatedProcess;
  #port = 0;

  private constructor(options: EmulatorOptions, dataDir: string, folders: Folders) {
    this.#host = options.host ?? '127.0.0.1';
    this.#dataDir = dataDir;
    this.#ownsDataDir = options.dataDir === undefined;
    this.faults = new Faults(
      {
        dropSockets: () => this.#process.sockets.drop(),
        deafenSockets: () => this.#process.sockets.deafen(),
        undeafenSockets: () => this.#process.sockets.undeafen(),
        loseHistory: () => this.#process.queue.clearHistory(),
        restart: ({ refuseMs = 0 }) => this.#restart(refuseMs),
        wedge: () => this.#process.queue.wedge(),
      },
      options.faults,
    );
    this.#processOptions = {
      engine: this.#engine,
      faults: this.faults,
      ledger: this.#ledger,
      catalog: new Catalog(options),
      slowdown: options.slowdown ?? 1,
      hasJobs: options.hasJobs ?? false,
      loaders: options.loaders ?? newestLoaders,
      maxUploadBytes: options.maxUploadBytes ?? defaultMaxUploadBytes,
    };
    this.#process = new EmulatedProcess({ ...this.#processOptions, folders });
    this.#http = new HttpServer({ faults: this.faults, current: () => this.#process });
  }

  static async start(options: EmulatorOptions = {}): Promise<Emulator> {
    const dataDir = options.dataDir ?? (await mkdtemp(path.join(os.tmpdir(), 'tmlsr-emulator-')));
    const emulator = new Emulator(options, dataDir, await openFolders(dataDir));
    emulator.#port = await emulator.#http.listen(options.port ?? 0, emulator.#host);
    return emulator;
  }

  get url(): string {
    return `http://${this.#host}:${this.#port}`;
  }

  /** Where `input/`, `output/` and `temp/` lie. */
  get dataDir(): string {
    return this.#dataDir;
  }

  /** Every prompt that started to run, oldest first, across restarts. */
  get runs(): readonly PromptRun[] {
    return this.#ledger.runs;
  }

  /** How often `POST /free` was called, across restarts. */
  get freed(): number {
    return this.#ledger.freed;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#restarts;
    this.#process.sockets.drop();
    await this.#http.close();
    await this.#process.stop();
    await this.#engine.close();
    if (this.#ownsDataDir) await rm(this.#dataDir, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #restart(refuseMs: number): Promise<void> {
    const restarted = this.#restarts.then(() => this.#startAnew(refuseMs));
    this.#restarts = restarted.catch(() => {});
    return restarted;
  }

  async #startAnew(refuseMs: number): Promise<void> {
    const { signal } = this.#closing;
    if (signal.aborted) return;
    this.#process.sockets.drop();
    await this.#http.close();
    await this.#process.stop();
    await sleep(refuseMs, undefined, { signal }).catch(() => {});
    if (signal.aborted) return;
    const folders = await openFolders(this.#dataDir);
    this.#process = new EmulatedProcess({ ...this.#processOptions, folders });
    await this.#http.listen(this.#port, this.#host);
  }
}

interface ProcessOptions {
  readonly folders: Folders;
  readonly engine: Engine;
  readonly faults: Faults;
  readonly ledger: Ledger;
  readonly catalog: Catalog;
  readonly slowdown: number;
  readonly hasJobs: boolean;
  readonly loaders: Loaders;
  readonly maxUploadBytes: number;
}

/** What a restart throws away: the queue, the history, the cache, and who is connected. */
class EmulatedProcess {
  readonly queue: PromptQueue;
  readonly sockets: Sockets;
  readonly context: RouteContext;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;

  constructor({ maxUploadBytes, hasJobs, ...parts }: ProcessOptions) {
    const { folders, faults, ledger, catalog } = parts;
    const features = { supports_preview_metadata: true, max_upload_size: maxUploadBytes };
    this.queue = new PromptQueue(() => this.sockets.broadcastStatus());
    this.sockets = new Sockets({
      faults,
      features,
      queueRemaining: () => this.queue.remaining,
    });
    const { queue, sockets } = this;
    const executor = new Executor({ ...parts, queue, sockets });
    this.context = {
      queue,
      executor,
      uploads: new Uploads(folders, maxUploadBytes),
      folders,
      catalog,
      ledger,
      hasJobs,
      version: comfyVersions[parts.loaders],
      features,
      maxBodyBytes: maxUploadBytes,
      argv: ['tmlsr-emulator', '--cpu'],
    };
    this.#running = executor.run(this.#stopping.signal).catch((error) => {
      if (!this.#stopping.signal.aborted) throw error;
    });
  }

  /** Resolves when nothing of it runs any more; a tile on its way is waited for. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }
}
