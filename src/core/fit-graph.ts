import type { Graph, GraphNode } from './graph.ts';
import { liveInputs } from './live-inputs.ts';
import { isExpanded, type NodeCatalogue, type NodeClass } from './node-catalogue.ts';
import { labelOf } from './node-label.ts';
import { needlessNodes } from './previews.ts';
import { pythonEquals } from './python-values.ts';
import { sameModel } from './same-model.ts';
import type { Workflow } from './workflow.ts';

export interface FittedGraph {
  readonly graph: Record<string, GraphNode>;
  /** How it differs from the workflow's, one sentence each. */
  readonly notes: readonly string[];
}

/**
 * A graph as one server gets it: without previews that nobody sees, with the names that its models have
 * there, and with its defaults for inputs that a newer ComfyUI requires. The workflow stays what it is,
 * and so does its hash.
 */
export function fitGraph(
  graph: Graph,
  workflow: Pick<Workflow, 'outputs'>,
  catalogue: NodeCatalogue | null,
): FittedGraph {
  const needless = needlessNodes(graph, workflow, catalogue);
  const notes: string[] = [];
  const nodes = new Map<string, GraphNode>();
  for (const [id, node] of Object.entries(graph)) {
    if (needless.has(id)) {
      notes.push(`${labelOf(id, node)} is not sent: it only shows what nobody would see`);
      continue;
    }
    const nodeClass = catalogue?.get(node.class_type);
    const changes = nodeClass ? changesFor(nodeClass, node, labelOf(id, node), notes) : {};
    const isChanged = Object.keys(changes).length > 0;
    nodes.set(id, isChanged ? { ...node, inputs: { ...node.inputs, ...changes } } : node);
  }
  return { graph: Object.fromEntries(nodes), notes };
}

function changesFor(
  nodeClass: NodeClass,
  { inputs }: GraphNode,
  label: string,
  notes: string[],
): Record<string, unknown> {
  const changes: Record<string, unknown> = {};
  for (const { name, choices } of liveInputs(nodeClass, inputs)) {
    if (!choices || choices.some((choice) => pythonEquals(inputs[name], choice))) continue;
    const model = sameModel(inputs[name], choices);
    if (model === undefined) continue;
    changes[name] = model;
    notes.push(
      `${label} gets ${name} ${JSON.stringify(model)} for ${JSON.stringify(inputs[name])}`,
    );
  }
  // What a choice brings along is never filled: the graph that makes the choice has to say what it means.
  for (const input of nodeClass.inputs) {
    const { name, isRequired, settings } = input;
    if (!isRequired || Object.hasOwn(inputs, name) || isExpanded(input)) continue;
    const { default: usual, forceInput } = settings;
    if (forceInput || !['string', 'number', 'boolean'].includes(typeof usual)) continue;
    changes[name] = usual;
    notes.push(
      `${label} gets ${name} ${JSON.stringify(usual)}, the default of an input that it lacks`,
    );
  }
  return changes;
}
