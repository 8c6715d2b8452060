import { type Graph, type GraphNode, isLink, type Slot } from '../graph.ts';
import { invalid, type Workflow } from '../workflow.ts';
import { findInputs } from './inputs.ts';
import { findOutputs } from './outputs.ts';
import { findParameters } from './parameters.ts';
import { checkName, readTitles } from './titles.ts';
import type { BindingWishes } from './wishes.ts';

export type { BindingWishes } from './wishes.ts';

export type Bindings = Pick<Workflow, 'kind' | 'inputs' | 'outputs' | 'parameters' | 'resolution'>;

/**
 * Finds where a task's files and values go in and its results come out: by the classes of the nodes,
 * over these by their titles, over these by what the sidecar says.
 *
 * @throws GatewayError `workflow_invalid`, its message naming the node or what is missing.
 */
export function findBindings(graph: Graph, wishes: BindingWishes): Bindings {
  const titles = readTitles(graph);
  const inputs = findInputs(graph, titles, wishes);
  const usualKind = wishes.kind ?? inputs[0]?.kind ?? null;
  const outputs = findOutputs(graph, titles, wishes, usualKind);
  const parameters = findParameters(graph, titles, wishes, inputs, outputs);
  checkNames([...inputs, ...parameters].map(({ name }) => name));
  for (const { name } of outputs) checkName(name, 'The name of an output');
  const kind = usualKind ?? outputs[0]?.kind;
  if (!kind) throw invalid('No node writes the result');
  return { kind, inputs, outputs, parameters, resolution: findResolution(graph) };
}

/** Files and values come in one object: no name may stand for both. */
function checkNames(names: readonly string[]): void {
  const seen = new Set<string>();
  for (const name of names) {
    checkName(name, 'The name of an input or a parameter');
    if (seen.has(name)) throw invalid(`Two inputs or parameters have the name ${name}`);
    seen.add(name);
  }
}

/**
 * Where SeedVR2 is told the length of the shorter side: an input of its custom node; for ComfyUI's
 * own nodes, one of the node that enlarges the pictures for them.
 */
function findResolution(graph: Graph): Slot | null {
  const slots = Object.entries(graph).flatMap(([id, node]) => {
    if (node.class_type === 'SeedVR2VideoUpscaler') return { node: id, field: 'resolution' };
    if (node.class_type === 'SeedVR2Preprocess') return enlargement(graph, node);
    return [];
  });
  const [only, second] = slots;
  if (!only || second) return null;
  return typeof graph[only.node]?.inputs[only.field] === 'number' ? only : null;
}

function enlargement(graph: Graph, { inputs }: GraphNode): Slot | null {
  const link = inputs.resized_images;
  const source = isLink(link) ? graph[link[0]] : null;
  if (source?.class_type !== 'ResizeImageMaskNode' || !isLink(link)) return null;
  const isByShorterSide = source.inputs.resize_type === 'scale shorter dimension';
  return isByShorterSide ? { node: link[0], field: 'resize_type.shorter_size' } : null;
}
