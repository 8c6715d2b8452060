import type { Audit } from '../audit/audit.ts';
import type { Fitness } from '../core/backend.ts';
import { GatewayError } from '../core/errors.ts';
import type { Graph } from '../core/graph.ts';
import type { JsonSchema } from '../core/json-schema.ts';
import type { NodeCatalogue } from '../core/node-catalogue.ts';
import { parametersSchema } from '../core/parameters.ts';
import type { Workflow } from '../core/workflow.ts';
import { isWorkflowName, type WorkflowFolder } from './folder.ts';
import { parseWorkflow, type WorkflowFile } from './parse.ts';
import type { WorkflowRegistry } from './registry.ts';

export interface WorkflowServiceParts {
  readonly registry: WorkflowRegistry;
  readonly folder: WorkflowFolder;
  readonly catalogue: () => NodeCatalogue | null;
  readonly pool: { fitness(workflow: Workflow): Fitness };
  readonly stats: { durations(): Promise<ReadonlyMap<string, number>> };
  readonly audit: Pick<Audit, 'record'>;
}

/** A workflow as clients and operators see it. */
export interface WorkflowDescription {
  readonly name: string;
  /** `null` where the folder never held a good version. */
  readonly workflow: Workflow | null;
  /** What is wrong with the files that lie there now. */
  readonly problem: GatewayError | null;
  /** The schema of what a task may give in `inputs` beside its files. */
  readonly parameters: JsonSchema | null;
  readonly fitness: Fitness | null;
  /** Median time on the GPU of its last runs, milliseconds; `null` while unknown. */
  readonly durationMs: number | null;
}

/** A graph with what its operator says of it, neither looked at yet. */
export interface Draft {
  /** In the API format or in the editor's. */
  readonly graph: unknown;
  readonly meta: unknown;
}

/** What people do with workflows: look at them, try them out, put them in place, take them away. */
export class WorkflowService {
  readonly #parts: WorkflowServiceParts;

  constructor(parts: WorkflowServiceParts) {
    this.#parts = parts;
  }

  async list(): Promise<WorkflowDescription[]> {
    const durations = await this.#durations();
    return this.#parts.registry.entries.map((entry) =>
      this.#describe(entry.workflow, entry, durations),
    );
  }

  /** @throws GatewayError `not_found`. */
  async find(name: string): Promise<WorkflowDescription> {
    const entry = this.#parts.registry.entry(name);
    if (!entry) throw unknown(name);
    return this.#describe(entry.workflow, entry, await this.#durations());
  }

  /** @throws GatewayError `not_found`; `workflow_unavailable` where no version was good. */
  graph(name: string): Graph {
    const entry = this.#parts.registry.entry(name);
    if (!entry) throw unknown(name);
    if (entry.workflow) return entry.workflow.graph;
    const reason = entry.problem?.message ?? 'it was not read yet';
    throw new GatewayError('workflow_unavailable', `The workflow ${name} has no graph: ${reason}`);
  }

  /** What would become of the files if they lay in the folder. */
  async validate(name: string, draft: Draft): Promise<WorkflowDescription> {
    const file = fileOf(name, draft);
    const durations = await this.#durations();
    try {
      const workflow = parseWorkflow(file, this.#parts.catalogue());
      return this.#describe(workflow, { name, problem: null }, durations);
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      return this.#describe(null, { name, problem: error }, durations);
    }
  }

  /**
   * Puts the workflow into the folder, in place of one that is there. `actor`: who does.
   *
   * @throws GatewayError `workflow_invalid`, and nothing is changed then; `workflow_unavailable` for an
   *   editor's file while no backend has told its nodes; `workflows_read_only`, `storage_full`.
   */
  async put(actor: string, name: string, draft: Draft): Promise<WorkflowDescription> {
    const { folder, registry, catalogue, audit } = this.#parts;
    const file = fileOf(name, draft);
    const { hash: after } = parseWorkflow(file, catalogue());
    // Another gateway may have written it a moment ago.
    await registry.refresh();
    const before = registry.find(name)?.hash ?? null;
    await folder.write(file);
    await audit.record({ actor, kind: 'workflow_written', subject: name, body: { before, after } });
    await registry.refresh();
    return await this.find(name);
  }

  /** @throws GatewayError `not_found`, `workflows_read_only`. */
  async remove(actor: string, name: string): Promise<void> {
    const { folder, registry, audit } = this.#parts;
    // Another gateway may have written it a moment ago.
    await registry.refresh();
    const entry = registry.entry(name);
    if (!entry) throw unknown(name);
    const isRemoved = await folder.remove(name);
    const before = entry.workflow?.hash ?? null;
    if (isRemoved) {
      await audit.record({ actor, kind: 'workflow_deleted', subject: name, body: { before } });
    }
    await registry.refresh();
    // Somebody else was quicker.
    if (!isRemoved) throw unknown(name);
  }

  #describe(
    workflow: Workflow | null,
    { name, problem }: Pick<WorkflowDescription, 'name' | 'problem'>,
    durations: ReadonlyMap<string, number>,
  ): WorkflowDescription {
    const { pool, catalogue } = this.#parts;
    return {
      name,
      workflow,
      problem,
      parameters: workflow && parametersSchema(workflow, catalogue()),
      fitness: workflow && pool.fitness(workflow),
      durationMs: durations.get(name) ?? null,
    };
  }

  /** They are told where they are known; a database that is away is no reason to tell nothing. */
  async #durations(): Promise<ReadonlyMap<string, number>> {
    return await this.#parts.stats.durations().catch(() => new Map());
  }
}

function unknown(name: string): GatewayError {
  return new GatewayError('not_found', `There is no workflow ${name}`);
}

function fileOf(name: string, { graph, meta }: Draft): WorkflowFile {
  if (!isWorkflowName(name)) {
    throw new GatewayError(
      'invalid_request',
      'name: must be letters, digits, spaces and . _ ( ) + - only, at most 200',
      { field: 'name' },
    );
  }
  const written = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;
  return { name, text: written(graph), meta: meta == null ? null : written(meta) };
}
