import type { Workflow } from '../core/workflow.ts';
import type { VersionKey, VersionStore } from './version-store.ts';

/** Graphs in memory: what is left out is read again when a task asks for it. */
const mostInMemory = 500;

/** Finds the version of a workflow that a task began with, whatever has become of the file since. */
export class WorkflowVersions {
  readonly #store: VersionStore;
  readonly #known = new Map<string, Workflow>();
  /** By name, what was kept last. */
  readonly #kept = new Map<string, string>();

  constructor(store: VersionStore) {
    this.#store = store;
  }

  /** Keeps it for all gateways; when this returns, tasks may refer to it. */
  async keep(workflow: Workflow, sourceHash: string): Promise<void> {
    const kept = `${workflow.hash} ${sourceHash}`;
    if (this.#kept.get(workflow.name) !== kept) await this.#store.keep(workflow, sourceHash);
    this.#kept.set(workflow.name, kept);
    this.#remember(workflow);
  }

  /** What was last made of these files, by any gateway. */
  async newestOf(name: string, sourceHash: string): Promise<Workflow | null> {
    const workflow = await this.#store.newestOf(name, sourceHash);
    if (workflow) this.#remember(workflow);
    return workflow;
  }

  /** Only what is in memory; `load` brings it there. */
  get(key: VersionKey): Workflow | null {
    return this.#known.get(idOf(key)) ?? null;
  }

  async load(keys: readonly VersionKey[]): Promise<void> {
    const missing = keys.filter((key) => key.workflowHash !== '' && !this.#known.has(idOf(key)));
    if (missing.length === 0) return;
    for (const workflow of await this.#store.find(missing)) this.#remember(workflow);
  }

  #remember(workflow: Workflow): void {
    const id = idOf({ workflow: workflow.name, workflowHash: workflow.hash });
    this.#known.delete(id);
    this.#known.set(id, workflow);
    const [oldest] = this.#known.keys();
    if (this.#known.size > mostInMemory && oldest !== undefined) this.#known.delete(oldest);
  }
}

function idOf({ workflow, workflowHash }: VersionKey): string {
  return `${workflowHash} ${workflow}`;
}
