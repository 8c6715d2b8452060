import type { Workflow } from './workflow.ts';

/** What a ComfyUI server says of one class of nodes. */
export interface NodeClass {
  /** By input, the only values that it takes; an input without a list takes any. */
  readonly options: ReadonlyMap<string, readonly string[]>;
}

/** The classes of nodes that a server has, by name. */
export type NodeCatalogue = ReadonlyMap<string, NodeClass>;

/**
 * Why a server with these nodes cannot run the workflow, one sentence each; none when it can. Only
 * what servers differ in is looked at: the nodes and the files (models above all) that they have.
 * The workflow's input is left out: its file is put there when a task comes.
 */
export function shortcomings(
  workflow: Pick<Workflow, 'graph' | 'input'>,
  catalogue: NodeCatalogue,
): string[] {
  const reasons = new Set<string>();
  for (const [id, { class_type, inputs }] of Object.entries(workflow.graph)) {
    const { options } = catalogue.get(class_type) ?? {};
    if (!options) {
      reasons.add(`It has no node class ${class_type}`);
      continue;
    }
    for (const [field, value] of Object.entries(inputs)) {
      if (id === workflow.input.node && field === workflow.input.field) continue;
      // What is no string is a link to another node, or a number.
      if (typeof value !== 'string' || options.get(field)?.includes(value) !== false) continue;
      reasons.add(`${class_type} (node ${id}) has no ${field} ${JSON.stringify(value)}`);
    }
  }
  return [...reasons];
}
