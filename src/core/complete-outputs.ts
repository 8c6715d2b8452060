import { type Graph, isLink } from './graph.ts';
import { liveInputs } from './live-inputs.ts';
import type { NodeCatalogue } from './node-catalogue.ts';

/**
 * The graph without those output nodes for which something is missing, there or before them: in the
 * editor that happens where a node is muted or bypassed, and ComfyUI runs the others. Where no output is
 * complete all of them stay, for whoever says why.
 */
export function withoutIncompleteOutputs(graph: Graph, catalogue: NodeCatalogue): Graph {
  const outputs = Object.keys(graph).filter((id) => isOutput(graph, id, catalogue));
  const incomplete = outputs.filter((id) => !isComplete(graph, id, catalogue));
  if (incomplete.length === 0 || incomplete.length === outputs.length) return graph;
  const kept = Object.entries(graph).filter(([id]) => !incomplete.includes(id));
  return Object.assign(Object.create(null), Object.fromEntries(kept));
}

function isOutput(graph: Graph, id: string, catalogue: NodeCatalogue): boolean {
  return catalogue.get(graph[id]?.class_type ?? '')?.isOutput === true;
}

/** Whether every node that the value of this one comes from has what it requires. */
function isComplete(graph: Graph, start: string, catalogue: NodeCatalogue): boolean {
  const seen = new Set<string>();
  const open = [start];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    const node = graph[id];
    if (!node || seen.has(id)) continue;
    seen.add(id);
    const nodeClass = catalogue.get(node.class_type);
    const known = nodeClass ? liveInputs(nodeClass, node.inputs) : [];
    const lacks = known.some(
      ({ name, isRequired }) => isRequired && !Object.hasOwn(node.inputs, name),
    );
    if (lacks) return false;
    for (const value of Object.values(node.inputs)) if (isLink(value)) open.push(value[0]);
  }
  return true;
}
