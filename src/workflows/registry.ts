import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { watch } from 'chokidar';
import { type GatewayError, toGatewayError } from '../core/errors.ts';
import type { NodeCatalogue } from '../core/node-catalogue.ts';
import type { Workflow } from '../core/workflow.ts';
import { translateDatabaseError } from '../db/errors.ts';
import type { Logger } from '../telemetry/logger.ts';
import { checkArguments } from './arguments.ts';
import type { WorkflowFolder } from './folder.ts';
import { parseWorkflow, type WorkflowFile } from './parse.ts';
import type { VersionKey } from './version-store.ts';
import type { WorkflowVersions } from './versions.ts';

/** Changes that the file system does not tell of, as on a network, are found by looking. */
const lookEveryMs = 5_000;

export interface RegistryParts {
  readonly folder: WorkflowFolder;
  readonly versions: WorkflowVersions;
  /** The nodes of the pool's backends, by which an editor's file is converted; `null`: not told yet. */
  readonly catalogue: () => NodeCatalogue | null;
  readonly logger: Logger;
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
  /** By name, the state of the files that were read last; those to be read again are left out. */
  readonly #seen = new Map<string, string>();
  /** Workflows that are gone from the folder while tasks wait for them. */
  readonly #retired = new Set<string>();
  readonly #stop = new AbortController();
  readonly #cleanup = new AsyncDisposableStack();
  #look: Promise<void> = Promise.resolve();
  #isLookAwaited = false;

  private constructor(parts: RegistryParts) {
    this.#parts = parts;
  }

  /** Reads the folder and follows its changes. */
  static async open(parts: RegistryParts, retired: readonly string[]): Promise<WorkflowRegistry> {
    const registry = new WorkflowRegistry(parts);
    for (const name of retired) registry.#retired.add(name);
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
  all(): Workflow[] {
    return this.entries.flatMap(({ workflow }) => workflow ?? []);
  }

  get names(): string[] {
    return this.all().map(({ name }) => name);
  }

  /** The workflows for which there may be tasks. */
  get queuedNames(): string[] {
    return [...new Set([...this.names, ...this.#retired])];
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
    // One that has begun may have passed by what is new.
    if (!this.#isLookAwaited) {
      this.#isLookAwaited = true;
      this.#look = this.#look.then(async () => {
        this.#isLookAwaited = false;
        await this.#readChanged().catch((error) =>
          this.#parts.logger.error({ err: error }, 'workflows.unreadable'),
        );
      });
    }
    await this.#look;
  }

  /** Backends have told of other nodes: what editors wrote may come to another graph. */
  async reconvert(): Promise<void> {
    for (const name of this.#entries.keys()) this.#seen.delete(name);
    await this.refresh();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#cleanup.disposeAsync();
    await this.#look;
  }

  #follow(): void {
    const { folder, logger } = this.#parts;
    const watcher = watch(folder.path, {
      depth: 0,
      ignoreInitial: true,
      // An editor that is still writing would otherwise be read half-way.
      awaitWriteFinish: { stabilityThreshold: 150, pollInterval: 50 },
    });
    watcher.on('all', () => void this.refresh());
    watcher.on('error', (error) => logger.error({ err: error }, 'workflows.unwatched'));
    this.#cleanup.defer(() => watcher.close());
    const looking = this.#keepLooking(this.#stop.signal);
    this.#cleanup.defer(() => looking);
  }

  async #keepLooking(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await delay(lookEveryMs, undefined, { signal }).catch(() => {});
      if (!signal.aborted) await this.refresh();
    }
  }

  async #readChanged(): Promise<void> {
    const found = await this.#parts.folder.look();
    for (const name of this.#entries.keys()) if (!found.has(name)) this.#remove(name);
    for (const [name, mark] of found) {
      if (this.#seen.get(name) === mark) continue;
      this.#seen.set(name, mark);
      await this.#read(name);
    }
  }

  async #read(name: string): Promise<void> {
    const { folder, logger } = this.#parts;
    const before = this.#entries.get(name);
    try {
      const workflow = await this.#understand(await folder.read(name));
      this.#entries.set(name, { name, workflow, problem: null });
      this.#retired.delete(name);
      if (workflow.hash !== before?.workflow?.hash || before.problem) {
        logger.info({ workflow: name, hash: workflow.hash.slice(0, 12) }, 'workflow.loaded');
      }
    } catch (error) {
      const problem = toGatewayError(translateDatabaseError(error));
      // It may be mended without a change of the files.
      if (problem.code !== 'workflow_invalid') this.#seen.delete(name);
      this.#entries.set(name, { name, workflow: before?.workflow ?? null, problem });
      if (problem.message === before?.problem?.message) return;
      const { message } = problem;
      logger.error({ workflow: name, problem: message, err: problem.cause }, 'workflow.invalid');
    }
  }

  /** When this returns, tasks may refer to the version. */
  async #understand(file: WorkflowFile): Promise<Workflow> {
    const { versions, catalogue } = this.#parts;
    const sourceHash = hashOf(file);
    try {
      const workflow = parseWorkflow(file, catalogue());
      await versions.keep(workflow, sourceHash);
      return workflow;
    } catch (error) {
      // Another gateway, which has a backend, may have converted it.
      const isUntold = toGatewayError(error).code === 'workflow_unavailable';
      const converted = isUntold ? await versions.newestOf(file.name, sourceHash) : null;
      if (!converted) throw error;
      return converted;
    }
  }

  #remove(name: string): void {
    this.#entries.delete(name);
    this.#seen.delete(name);
    this.#retired.add(name);
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
