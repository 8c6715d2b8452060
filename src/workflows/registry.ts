import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { watch } from 'chokidar';
import { type GatewayError, toGatewayError } from '../core/errors.ts';
import type { Workflow } from '../core/workflow.ts';
import type { Logger } from '../telemetry/logger.ts';
import { parseWorkflow } from './parse.ts';

/** A file's name is its workflow's; anything else in the folder is left alone. */
const metaSuffix = '.meta.json';
const fileName = /^[A-Za-z0-9][A-Za-z0-9._-]*\.json$/;

/**
 * The workflows of a folder, kept up with it: a file that is dropped in can be called a moment later.
 * A broken file is reported and never replaces the good one that it was.
 */
export class WorkflowRegistry implements AsyncDisposable {
  readonly #folder: string;
  readonly #logger: Logger;
  readonly #workflows = new Map<string, Workflow>();
  readonly #problems = new Map<string, GatewayError>();
  readonly #cleanup = new AsyncDisposableStack();

  private constructor(folder: string, logger: Logger) {
    this.#folder = folder;
    this.#logger = logger;
  }

  /** Reads the folder and follows its changes. */
  static async open(folder: string, logger: Logger): Promise<WorkflowRegistry> {
    const registry = new WorkflowRegistry(folder, logger);
    await registry.#readAll();
    registry.#follow();
    return registry;
  }

  /** The names of the workflows that can be called, in alphabetical order. */
  get names(): string[] {
    return [...this.#workflows.keys()].sort();
  }

  all(): Iterable<Workflow> {
    return this.#workflows.values();
  }

  /** Files that hold no workflow, and why. */
  get problems(): ReadonlyMap<string, GatewayError> {
    return this.#problems;
  }

  find(name: string): Workflow | null {
    return this.#workflows.get(name) ?? null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cleanup.disposeAsync();
  }

  async #readAll(): Promise<void> {
    const files = await readdir(this.#folder).catch((error) => {
      throw new Error(`WORKFLOWS_DIR ${this.#folder} cannot be read: ${error.message}`);
    });
    const graphs = files.filter((name) => fileName.test(name) && !name.endsWith(metaSuffix));
    for (const file of graphs) await this.#read(file);
  }

  #follow(): void {
    const watcher = watch(this.#folder, {
      depth: 0,
      ignoreInitial: true,
      // An editor that is still writing would otherwise be read half-way.
      awaitWriteFinish: { stabilityThreshold: 150, pollInterval: 50 },
    });
    const changed = (path: string) => {
      if (fileName.test(basename(path))) void this.#read(basename(path));
    };
    watcher.on('add', changed).on('change', changed);
    watcher.on('unlink', (path) => this.#remove(basename(path)));
    watcher.on('error', (error) => this.#logger.error({ err: error }, 'workflows.unwatched'));
    this.#cleanup.defer(() => watcher.close());
  }

  async #read(file: string): Promise<void> {
    const name = nameOf(file);
    try {
      const workflow = parseWorkflow(
        name,
        await this.#text(`${name}.json`),
        await this.#meta(name),
      );
      this.#workflows.set(name, workflow);
      this.#problems.delete(name);
      this.#logger.info({ workflow: name, hash: workflow.hash.slice(0, 12) }, 'workflow.loaded');
    } catch (error) {
      const problem = toGatewayError(error);
      this.#problems.set(name, problem);
      this.#logger.error({ workflow: name, problem: problem.message }, 'workflow.invalid');
    }
  }

  async #meta(name: string): Promise<string | null> {
    return await this.#text(`${name}${metaSuffix}`).catch((error) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
  }

  async #text(file: string): Promise<string> {
    return await readFile(join(this.#folder, file), 'utf8');
  }

  #remove(file: string): void {
    // What its operator said of it is gone, not the workflow.
    if (file.endsWith(metaSuffix)) return void this.#read(file);
    const name = nameOf(file);
    this.#workflows.delete(name);
    this.#problems.delete(name);
    this.#logger.info({ workflow: name }, 'workflow.removed');
  }
}

/** Of the workflow that the file, or what is said of it, belongs to. */
function nameOf(file: string): string {
  return basename(file, file.endsWith(metaSuffix) ? metaSuffix : '.json');
}
