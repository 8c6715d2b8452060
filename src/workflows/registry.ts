import { createHash } from 'node:crypto';
import { watch } from 'chokidar';
import { type GatewayError, toGatewayError } from '../core/errors.ts';
import type { NodeCatalogue } from '../core/node-catalogue.ts';
import type { Tempo } from '../core/tempo.ts';
import type { Workflow } from '../core/workflow.ts';
import { translateDatabaseError } from '../db/errors.ts';
import type { Logger } from '../telemetry/logger.ts';
import { every } from '../timing/every.ts';
import { checkArguments } from './arguments.ts';
import type { WorkflowFolder } from './folder.ts';
import { type ParsedFile, parseFile, toWorkflow, type WorkflowFile } from './parse.ts';
import type { VersionKey } from './version-store.ts';
import type { WorkflowVersions } from './versions.ts';

export interface RegistryParts {
  readonly folder: WorkflowFolder;
  readonly versions: WorkflowVersions;
  /** The nodes of the pool's backends, by which an editor's file is converted; `null`: not told yet. */
  readonly catalogue: () => NodeCatalogue | null;
  readonly logger: Logger;
  readonly tempo: Tempo['workflows'];
}

/** The files of one name, as they were read last. */
interface ReadFile {
  /** Changes whenever one of them does. */
  readonly mark: string;
  readonly sourceHash: string;
  /** `null` where they hold no graph. */
  readonly parsed: ParsedFile | null;
}

/** What is known of one name in the folder. */
export interface WorkflowEntry {
  readonly name: string;
  /** The last version that was good; `null` while there was none. */
  readonly workflow: Workflow | null;
  /** Why the files that lie there now are not it. */
  readonly problem: GatewayError | null;
}

/**
 * The workflows of a folder, kept up with it: a file that is dropped in can be called a moment later.
 * What is read is made ready aside and takes the place of what was there whole; a broken file is
 * reported and replaces nothing.
 */
export class WorkflowRegistry implements AsyncDisposable {
  readonly #parts: RegistryParts;
  readonly #entries = new Map<string, WorkflowEntry>();
  /** What `all` returns; put together anew after a change. */
  #all: readonly Workflow[] | null = null;
  /** By name, the files that were read last. */
  readonly #files = new Map<string, ReadFile>();
  readonly #stop = new AbortController();
  readonly #cleanup = new AsyncDisposableStack();
  /** What was asked for and has not begun: it will see whatever whoever asks again is about. */
  readonly #asked = new Map<string, Promise<void>>();
  #lastTurn: Promise<void> = Promise.resolve();

  private constructor(parts: RegistryParts) {
    this.#parts = parts;
  }

  /** Reads the folder and follows its changes. */
  static async open(parts: RegistryParts): Promise<WorkflowRegistry> {
    const registry = new WorkflowRegistry(parts);
    try {
      await registry.#readChanged();
    } catch (error) {
      const reason = error instanceof Error ? error.message : error;
      throw new Error(`WORKFLOWS_DIR ${parts.folder.path} cannot be read: ${reason}`);
    }
    registry.#follow();
    return registry;
  }

  /** Everything that the folder holds, in alphabetical order. */
  get entries(): WorkflowEntry[] {
    return [...this.#entries.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The workflows that can be called, in alphabetical order. */
  all(): readonly Workflow[] {
    this.#all ??= this.entries.flatMap(({ workflow }) => workflow ?? []);
    return this.#all;
  }

  get names(): string[] {
    return this.all().map(({ name }) => name);
  }

  find(name: string): Workflow | null {
    return this.#entries.get(name)?.workflow ?? null;
  }

  entry(name: string): WorkflowEntry | null {
    return this.#entries.get(name) ?? null;
  }

  /** The workflow that goes by the name of this model, among those that `isMeant`. */
  findByAlias(model: string, isMeant: (workflow: Workflow) => boolean): Workflow | null {
    const wanted = model.toLowerCase();
    const bears = ({ aliases }: Workflow) => aliases.some((each) => each.toLowerCase() === wanted);
    return this.all().find((workflow) => bears(workflow) && isMeant(workflow)) ?? null;
  }

  /** @throws GatewayError `invalid_request`, for the field of the value that the workflow does not take. */
  checkArguments(
    workflow: Workflow,
    values: Readonly<Record<string, unknown>>,
  ): Readonly<Record<string, unknown>> {
    return checkArguments(workflow, this.#parts.catalogue(), values);
  }

  /** The version that the task runs; `null` while it is not in memory: `load` brings it there. */
  versionOf(task: VersionKey): Workflow | null {
    if (task.workflowHash === '') return this.find(task.workflow);
    return this.#parts.versions.get(task);
  }

  /** @throws whatever the database throws. */
  async load(tasks: readonly VersionKey[]): Promise<void> {
    await this.#parts.versions.load(tasks);
  }

  /** Looks at the folder, now; when this returns, what lay there before is known. */
  async refresh(): Promise<void> {
    await this.#inTurn('look', () => this.#readChanged());
  }

  /** Backends have told of other nodes: what the editor saved may come to another graph. */
  async reconvert(): Promise<void> {
    await this.#inTurn('conversion', async () => {
      for (const [name, { parsed }] of this.#files) {
        if (parsed?.format === 'editor') await this.#settle(name);
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#cleanup.disposeAsync();
    await this.#lastTurn;
  }

  #follow(): void {
    const { folder, logger, tempo } = this.#parts;
    const watcher = watch(folder.path, {
      depth: 0,
      ignoreInitial: true,
      // An editor that is still writing would otherwise be read half-way.
      awaitWriteFinish: { stabilityThreshold: tempo.settledAfterMs, pollInterval: 50 },
    });
    watcher.on('all', () => void this.refresh());
    // What came before it began to watch it does not tell.
    watcher.on('ready', () => void this.refresh());
    watcher.on('error', (error) => logger.error({ err: error }, 'workflows.unwatched'));
    this.#cleanup.defer(() => watcher.close());
    const refresh = () => this.refresh();
    const looking = every(tempo.lookEveryMs, this.#stop.signal, refresh, { isLater: true });
    this.#cleanup.defer(() => looking);
  }

  async #inTurn(what: string, work: () => Promise<void>): Promise<void> {
    const asked = this.#asked.get(what);
    if (asked) return await asked;
    const turn = this.#lastTurn.then(async () => {
      this.#asked.delete(what);
      await work().catch((error) =>
        this.#parts.logger.error({ err: error }, 'workflows.unreadable'),
      );
    });
    this.#asked.set(what, turn);
    this.#lastTurn = turn;
    await turn;
  }

  async #readChanged(): Promise<void> {
    const found = await this.#parts.folder.look();
    for (const name of this.#entries.keys()) if (!found.has(name)) this.#remove(name);
    for (const [name, mark] of found) {
      const problem = this.#entries.get(name)?.problem;
      const mayHavePassed = problem && problem.code !== 'workflow_invalid';
      if (this.#files.get(name)?.mark !== mark) await this.#read(name, mark);
      else if (mayHavePassed) await this.#settle(name);
    }
  }

  async #read(name: string, mark: string): Promise<void> {
    this.#files.set(name, { mark, sourceHash: '', parsed: null });
    try {
      const file = await this.#parts.folder.read(name);
      this.#files.set(name, { mark, sourceHash: hashOf(file), parsed: parseFile(file) });
    } catch (error) {
      return this.#blame(name, error);
    }
    await this.#settle(name);
  }

  /** Makes the file's version the current one. */
  async #settle(name: string): Promise<void> {
    const file = this.#files.get(name);
    if (!file?.parsed) return;
    try {
      const workflow = await this.#understand(file.parsed, file.sourceHash);
      const before = this.#entries.get(name);
      this.#put({ name, workflow, problem: null });
      if (workflow.hash !== before?.workflow?.hash || before.problem) {
        this.#parts.logger.info(
          { workflow: name, hash: workflow.hash.slice(0, 12) },
          'workflow.loaded',
        );
      }
    } catch (error) {
      this.#blame(name, error);
    }
  }

  /** When this returns, tasks may refer to the version. */
  async #understand(parsed: ParsedFile, sourceHash: string): Promise<Workflow> {
    const { versions, catalogue } = this.#parts;
    try {
      const workflow = toWorkflow(parsed, catalogue());
      await versions.keep(workflow, sourceHash);
      return workflow;
    } catch (error) {
      // Another gateway, which has a backend, may have converted it.
      const isUntold = toGatewayError(error).code === 'workflow_unavailable';
      const converted = isUntold ? await versions.newestOf(parsed.name, sourceHash) : null;
      if (!converted) throw error;
      return converted;
    }
  }

  #blame(name: string, error: unknown): void {
    const problem = toGatewayError(translateDatabaseError(error));
    const before = this.#entries.get(name);
    this.#put({ name, workflow: before?.workflow ?? null, problem });
    const { message } = problem;
    if (message === before?.problem?.message) return;
    this.#parts.logger.error(
      { workflow: name, problem: message, err: problem.cause },
      'workflow.invalid',
    );
  }

  #put(entry: WorkflowEntry): void {
    this.#entries.set(entry.name, entry);
    this.#all = null;
  }

  #remove(name: string): void {
    this.#entries.delete(name);
    this.#all = null;
    this.#files.delete(name);
    this.#parts.logger.info({ workflow: name }, 'workflow.removed');
  }
}

function hashOf({ text, meta }: WorkflowFile): string {
  return createHash('sha256')
    .update(text)
    .update('\0')
    .update(meta ?? '')
    .digest('hex');
}
