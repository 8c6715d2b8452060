import { GatewayError } from './errors.ts';
import type { MediaKind } from './media.ts';
import type { Size } from './size-plan.ts';

/** A ComfyUI graph in API format: node id to node. */
export type Graph = Readonly<Record<string, GraphNode>>;

export interface GraphNode {
  readonly class_type: string;
  readonly inputs: Readonly<Record<string, unknown>>;
  readonly _meta?: { readonly title?: string };
}

/** A stored graph with the places where a task's values go. */
export interface Workflow {
  /** The file's name without `.json`. */
  readonly name: string;
  readonly graph: Graph;
  readonly kind: MediaKind;
  readonly input: Slot;
  readonly output: Slot;
  /** sha256 of the file, hex: which version of the graph a task ran. */
  readonly hash: string;
  /** Its own limits, milliseconds; what is left out is as the settings say. */
  readonly timeouts: Timeouts;
}

/** How long a task may wait for its first attempt, and a prompt may run. `null`: for ever. */
export interface Timeouts {
  readonly queueMs?: number | null;
  readonly runMs?: number | null;
}

/** One input of one node. */
export interface Slot {
  readonly node: string;
  readonly field: string;
}

/** A bound graph, ready to be posted. */
export type Prompt = Record<string, GraphNode>;

export interface Binding {
  /** The input's name as the backend knows it, folder included. */
  readonly inputName: string;
  /** Unique to the attempt: it defeats ComfyUI's cache and makes the output's name predictable. */
  readonly filenamePrefix: string;
  /** The exact size of the result; `null` leaves it as the graph makes it. */
  readonly size: Size | null;
}

/** Nodes that read the file to work on, and the field that names it. */
const inputNodes: Readonly<Record<string, { field: string; kind: MediaKind }>> = {
  LoadImage: { field: 'image', kind: 'image' },
  LoadVideo: { field: 'file', kind: 'video' },
  VHS_LoadVideo: { field: 'video', kind: 'video' },
  VHS_LoadVideoFFmpeg: { field: 'video', kind: 'video' },
};

/** Nodes that write a file, and the field through which the pictures arrive. */
const outputNodes: Readonly<Record<string, { images: string; kind: MediaKind }>> = {
  SaveImage: { images: 'images', kind: 'image' },
  SaveVideo: { images: 'video', kind: 'video' },
  SaveWEBM: { images: 'images', kind: 'video' },
  VHS_VideoCombine: { images: 'images', kind: 'video' },
};

/** Nodes on the way from the pictures to a `SaveVideo`, and the field to follow backwards. */
const carriers: Readonly<Record<string, string>> = { CreateVideo: 'images' };

/**
 * Finds where the input goes in and the result comes out.
 *
 * @throws GatewayError `workflow_invalid`, its message naming the node or what is missing.
 */
export function describeGraph(graph: Graph): Pick<Workflow, 'kind' | 'input' | 'output'> {
  const [inputId, inputNode] = theOnly(graph, inputNodes, 'reads the input');
  const [outputId] = theOnly(graph, outputNodes, 'writes the result');
  const { field, kind } = inputNodes[inputNode.class_type] as { field: string; kind: MediaKind };
  return {
    kind,
    input: { node: inputId, field },
    output: { node: outputId, field: 'filename_prefix' },
  };
}

function theOnly(
  graph: Graph,
  classes: Readonly<Record<string, unknown>>,
  duty: string,
): [id: string, node: GraphNode] {
  const found = Object.entries(graph).filter(([, node]) => Object.hasOwn(classes, node.class_type));
  const [only, second] = found;
  const names = Object.keys(classes).join(', ');
  if (!only) throw invalid(`No node ${duty}: one of ${names} is needed`);
  if (second) {
    const ids = found.map(([id, node]) => `${node.class_type} ${id}`).join(', ');
    throw invalid(`More than one node ${duty} (${ids}); exactly one is needed`);
  }
  return only;
}

/** Makes the prompt of one attempt. The workflow's graph stays as it is. */
export function bind(workflow: Workflow, binding: Binding): Prompt {
  const prompt: Prompt = { ...workflow.graph };
  setInput(prompt, workflow.input, binding.inputName);
  setInput(prompt, workflow.output, binding.filenamePrefix);
  if (binding.size) insertResize(prompt, workflow.output.node, binding.size);
  return prompt;
}

function setInput(prompt: Prompt, { node: id, field }: Slot, value: unknown): void {
  const node = prompt[id] as GraphNode;
  prompt[id] = { ...node, inputs: { ...node.inputs, [field]: value } };
}

/** Puts an ImageScale between the node that makes the pictures and the one that takes them. */
function insertResize(prompt: Prompt, outputId: string, { width, height }: Size): void {
  const id = freshId(prompt);
  const slot = pictureSlot(prompt, outputId);
  const image = (prompt[slot.node] as GraphNode).inputs[slot.field];
  const inputs = { image, upscale_method: 'lanczos', width, height, crop: 'disabled' };
  prompt[id] = { class_type: 'ImageScale', inputs, _meta: { title: 'final size' } };
  setInput(prompt, slot, [id, 0]);
}

function pictureSlot(prompt: Prompt, outputId: string): Slot {
  const output = prompt[outputId] as GraphNode;
  let slot: Slot = { node: outputId, field: outputNodes[output.class_type]?.images ?? 'images' };
  for (;;) {
    const from = linkedNode(prompt, slot);
    const carried = from && carriers[from.node.class_type];
    if (!carried) return slot;
    slot = { node: from.id, field: carried };
  }
}

function linkedNode(prompt: Prompt, slot: Slot): { id: string; node: GraphNode } | null {
  const link = prompt[slot.node]?.inputs[slot.field];
  if (!Array.isArray(link) || typeof link[0] !== 'string') {
    throw invalid(`Node ${slot.node}: its input ${slot.field} is not linked to another node`);
  }
  const node = prompt[link[0]];
  return node ? { id: link[0], node } : null;
}

function freshId(prompt: Prompt): string {
  const numbers = Object.keys(prompt).map(Number).filter(Number.isInteger);
  return String(Math.max(0, ...numbers) + 1);
}

export function invalid(message: string): GatewayError {
  return new GatewayError('workflow_invalid', message);
}
