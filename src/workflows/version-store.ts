import type { Workflow } from '../core/workflow.ts';
import type { Orm } from '../db/connect.ts';
import { and, desc, eq, or } from '../db/drizzle.ts';
import { workflowVersions } from '../db/schema.ts';

/** Names one version of a workflow, as a task does. */
export interface VersionKey {
  readonly workflow: string;
  readonly workflowHash: string;
}

/** The versions of workflows that tasks run, kept for as long as anybody may ask what made a result. */
export class VersionStore {
  readonly #orm: Orm;

  constructor(orm: Orm) {
    this.#orm = orm;
  }

  /** `sourceHash` is of the files that the version was read from. */
  async keep(workflow: Workflow, sourceHash: string): Promise<void> {
    const { name, hash } = workflow;
    await this.#orm
      .insert(workflowVersions)
      .values({ name, hash, sourceHash, definition: workflow })
      .onConflictDoUpdate({
        target: [workflowVersions.name, workflowVersions.hash],
        // What it runs is the same; what is said of it may be new.
        set: { sourceHash, definition: workflow },
      });
  }

  /** What was last made of these files, by any gateway. */
  async newestOf(name: string, sourceHash: string): Promise<Workflow | null> {
    const [row] = await this.#orm
      .select({ definition: workflowVersions.definition })
      .from(workflowVersions)
      .where(and(eq(workflowVersions.name, name), eq(workflowVersions.sourceHash, sourceHash)))
      .orderBy(desc(workflowVersions.createdAt))
      .limit(1);
    return row?.definition ?? null;
  }

  async find(keys: readonly VersionKey[]): Promise<Workflow[]> {
    const wanted = keys.map(({ workflow, workflowHash }) =>
      and(eq(workflowVersions.name, workflow), eq(workflowVersions.hash, workflowHash)),
    );
    const rows = await this.#orm
      .select({ definition: workflowVersions.definition })
      .from(workflowVersions)
      .where(or(...wanted));
    return rows.map(({ definition }) => definition);
  }
}
