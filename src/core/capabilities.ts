import { fitGraph } from './fit-graph.ts';
import { type Graph, type GraphNode, isLink } from './graph.ts';
import { inputFault } from './input-fault.ts';
import { liveInputs } from './live-inputs.ts';
import type { NodeCatalogue, NodeClass } from './node-catalogue.ts';
import { labelOf } from './node-label.ts';
import type { Workflow } from './workflow.ts';

/**
 * Why a server with these nodes cannot run the workflow, one sentence each; none when it can. It says
 * what ComfyUI itself would say to the prompt, by ComfyUI's rules: an unknown class is refused
 * wherever it stands, all else only where a result needs it. What ComfyUI leaves to a node's own check
 * cannot be seen from outside and is passed over. The files that a task brings are left out: they are
 * put there when it comes.
 */
export function shortcomings(workflow: Judged, catalogue: NodeCatalogue): string[] {
  const { graph } = fitGraph(withDefaults(workflow), workflow, catalogue);
  const needed = new Set<string>();
  for (const { node } of workflow.outputs) collectNeeded(graph, catalogue, node, needed);
  const reasons = new Set<string>();
  const filled = filledFields(workflow);
  for (const [id, node] of Object.entries(graph)) {
    const nodeClass = catalogue.get(node.class_type);
    if (!nodeClass) {
      reasons.add(`It has no node class ${node.class_type}`);
      continue;
    }
    if (!needed.has(id)) continue;
    for (const input of liveInputs(nodeClass, node.inputs)) {
      if (filled.get(id)?.includes(input.name)) continue;
      const fault = inputFault(graph, catalogue, id, input);
      if (fault !== null) reasons.add(`${labelOf(id, node)} ${fault}`);
    }
  }
  return [...reasons, ...neverRun(graph, catalogue, workflow)];
}

/** How the graph that such a server gets differs from the workflow's, one sentence each. */
export function adaptations(workflow: Judged, catalogue: NodeCatalogue): readonly string[] {
  return fitGraph(withDefaults(workflow), workflow, catalogue).notes;
}

type Judged = Pick<Workflow, 'graph' | 'inputs' | 'outputs' | 'parameters'>;

/** The graph as it runs when a task chooses nothing; what every attempt fills is there. */
function withDefaults(workflow: Judged): Graph {
  const { graph, parameters } = workflow;
  const nodes = new Map(Object.entries(graph));
  for (const [id, fields] of filledFields(workflow)) {
    const node = nodes.get(id);
    const missing = fields.filter((field) => node && !Object.hasOwn(node.inputs, field));
    if (!node || missing.length === 0) continue;
    const filled = Object.fromEntries(missing.map((field) => [field, '']));
    nodes.set(id, { ...node, inputs: { ...node.inputs, ...filled } });
  }
  for (const { slots, default: value } of parameters) {
    for (const { node: id, field } of value === undefined ? [] : slots) {
      const node = nodes.get(id);
      if (node) nodes.set(id, { ...node, inputs: { ...node.inputs, [field]: value } });
    }
  }
  return Object.fromEntries(nodes);
}

/** By node id, the inputs that every attempt fills. */
function filledFields({
  inputs,
  outputs,
}: Pick<Workflow, 'inputs' | 'outputs'>): ReadonlyMap<string, string[]> {
  const filled = new Map<string, string[]>();
  const add = (node: string, field: string) =>
    filled.set(node, [...(filled.get(node) ?? []), field]);
  for (const { slot } of inputs) add(slot.node, slot.field);
  for (const { node, prefixField } of outputs) if (prefixField !== null) add(node, prefixField);
  return filled;
}

/** What a node's value comes from, itself included, as far as ComfyUI follows it. */
function collectNeeded(
  graph: Graph,
  catalogue: NodeCatalogue,
  start: string,
  needed: Set<string>,
): void {
  const open = [start];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    const node = Object.hasOwn(graph, id) ? graph[id] : undefined;
    if (!node || needed.has(id)) continue;
    needed.add(id);
    open.push(...sourcesOf(node, catalogue.get(node.class_type)));
  }
}

/** Links of inputs that the class does not have lead nowhere. */
function sourcesOf({ inputs }: GraphNode, nodeClass: NodeClass | undefined): string[] {
  const known = nodeClass && new Set(nodeClass.inputs.map(({ name }) => name));
  return Object.entries(inputs).flatMap(([field, value]) => {
    const isKnown = !known || known.has(field) || known.has(field.replace(/\..*/s, ''));
    return isKnown && isLink(value) ? value[0] : [];
  });
}

/** ComfyUI runs what its output nodes need: a result that none of them needs never comes. */
function neverRun(
  graph: Graph,
  catalogue: NodeCatalogue,
  { outputs }: Pick<Workflow, 'outputs'>,
): string[] {
  const run = new Set<string>();
  for (const [id, { class_type }] of Object.entries(graph)) {
    if (catalogue.get(class_type)?.isOutput) collectNeeded(graph, catalogue, id, run);
  }
  return outputs.flatMap(({ node: id }) => {
    const node = graph[id];
    if (!node || run.has(id) || !catalogue.has(node.class_type)) return [];
    return `${labelOf(id, node)} would not run: it is no output node, and none needs it`;
  });
}
