import { GatewayError } from './errors.ts';
import { type GraphNode, isLink, type Link, type Slot } from './graph.ts';
import type { Rotation } from './media.ts';
import type { Size, SizePlan } from './size-plan.ts';
import { type AlphaWay, alphaClass, alphaWay } from './transparency.ts';
import { frameLinks, notTurned } from './turn-frames.ts';
import type { Workflow } from './workflow.ts';

/** A bound graph, ready to be posted. */
export type Prompt = Record<string, GraphNode>;

export interface Binding {
  /** By the input's name, the file's name as the backend knows it, folder included. */
  readonly files: Readonly<Record<string, string>>;
  /**
   * Folder on the backend in which only this attempt writes: it defeats ComfyUI's cache and makes the
   * outputs' names predictable, which begin with `${folder}/${output.name}`.
   */
  readonly folder: string;
  /** By the parameter's name, the values that the task chose; others keep the default. */
  readonly arguments: Readonly<Record<string, unknown>>;
  readonly size: SizePlan;
  /** By the input's name, the degrees clockwise by which its frames are turned; left out: none. */
  readonly turns?: Readonly<Record<string, Rotation>>;
  /** Links that are left out, of inputs that nodes do without. */
  readonly leftOut?: readonly Slot[];
  /** Whether the main source is transparent, and the backend can give that to the result. */
  readonly joinsAlpha?: boolean;
}

/**
 * Makes the prompt of one attempt. The workflow's graph stays as it is. Only the main output gets the
 * size that was planned; others, such as a preview or a mask, keep their own.
 *
 * @throws GatewayError `invalid_request` without a file for a required input; `workflow_invalid` when
 *   the graph lacks a node that the workflow names; `workflow_unsupported` when it has no place in which
 *   frames could be turned.
 */
export function bind(workflow: Workflow, binding: Binding): Prompt {
  const prompt = new BoundGraph(workflow.graph);
  for (const { name, slot, isRequired } of workflow.inputs) {
    if (Object.hasOwn(binding.files, name)) prompt.set(slot, binding.files[name]);
    else if (isRequired) throw new GatewayError('invalid_request', `There is no file for ${name}`);
  }
  for (const { name, node, prefixField } of workflow.outputs) {
    if (prefixField !== null) prompt.set({ node, field: prefixField }, `${binding.folder}/${name}`);
  }
  for (const { name, slots, default: usual } of workflow.parameters) {
    const value = Object.hasOwn(binding.arguments, name) ? binding.arguments[name] : usual;
    if (value === undefined) continue;
    for (const slot of slots) prompt.set(slot, value);
  }
  for (const slot of binding.leftOut ?? []) prompt.leaveOut(slot);
  setSize(prompt, workflow, binding.size);
  for (const { name, slot } of workflow.inputs) {
    const degrees = binding.turns?.[name] ?? 0;
    const isTurnedHere = workflow.graph[slot.node]?.class_type === 'LoadVideo';
    // VideoHelperSuite turns the clips that it reads, whatever the server.
    if (degrees !== 0 && isTurnedHere) prompt.insertTurn(name, slot, degrees);
  }
  const alpha = binding.joinsAlpha ? alphaWay(workflow) : null;
  if (alpha) prompt.insertAlpha(alpha);
  return prompt.toPrompt();
}

/** After the parameters: one of them may be the same field. */
function setSize(prompt: BoundGraph, workflow: Workflow, size: SizePlan): void {
  if (size.by === 'workflow') return;
  if (size.resolution !== null && workflow.resolution) {
    prompt.set(workflow.resolution, size.resolution);
  }
  const resize = size.by === 'graph' ? size.resize : null;
  const pictures = workflow.outputs[0]?.pictures;
  if (resize && pictures) prompt.insertResize(pictures, resize);
}

/** Node ids are an operator's words: in a map even `__proto__` is only a name. */
class BoundGraph {
  readonly #nodes: Map<string, GraphNode>;

  constructor(graph: Workflow['graph']) {
    this.#nodes = new Map(Object.entries(graph));
  }

  set({ node: id, field }: Slot, value: unknown): void {
    const node = this.#node(id);
    this.#nodes.set(id, { ...node, inputs: { ...node.inputs, [field]: value } });
  }

  leaveOut({ node: id, field }: Slot): void {
    const node = this.#node(id);
    const { [field]: _, ...inputs } = node.inputs;
    this.#nodes.set(id, { ...node, inputs });
  }

  insertResize(slot: Slot, { width, height }: Size): void {
    const scale = { upscale_method: 'lanczos', width, height, crop: 'disabled' };
    this.#insert(slot, 'ImageScale', 'final size', (image) => ({ image, ...scale }));
  }

  /** Behind the resize: the mask is brought to the size that the pictures have then. */
  insertAlpha({ pictures, mask }: AlphaWay): void {
    this.#insert(pictures, alphaClass, 'transparency', (image) => ({ image, alpha: mask }));
  }

  /** Puts a node between the one that makes the pictures and the one that takes them. */
  #insert(
    slot: Slot,
    className: string,
    title: string,
    inputsOf: (image: Link) => GraphNode['inputs'],
  ): void {
    const image = this.#node(slot.node).inputs[slot.field];
    if (!isLink(image)) throw broken(`its input ${slot.field} is not linked`, slot.node);
    const id = this.#freshId();
    this.#nodes.set(id, { class_type: className, inputs: inputsOf(image), _meta: { title } });
    this.set(slot, [id, 0]);
  }

  /** Puts an ImageRotate between the nodes that give a clip's frames and those that take them. */
  insertTurn(input: string, slot: Slot, degrees: Rotation): void {
    const links = frameLinks(this.toPrompt(), slot);
    if (!links) throw notTurned(input);
    for (const { from, slots } of links) {
      const id = this.#freshId();
      const inputs = { image: [from, 0], rotation: `${degrees} degrees` };
      this.#nodes.set(id, { class_type: 'ImageRotate', inputs, _meta: { title: 'upright' } });
      for (const taker of slots) this.set(taker, [id, 0]);
    }
  }

  toPrompt(): Prompt {
    return Object.fromEntries(this.#nodes);
  }

  #node(id: string): GraphNode {
    const node = this.#nodes.get(id);
    if (!node) throw broken('it is not there', id);
    return node;
  }

  /** A number above all others, those of subgraphs (`57:3`) among them. */
  #freshId(): string {
    const numbers = [...this.#nodes.keys()].map((id) => Number.parseInt(id, 10));
    let number = Math.max(0, ...numbers.filter(Number.isSafeInteger)) + 1;
    while (this.#nodes.has(String(number))) number += 1;
    return String(number);
  }
}

function broken(reason: string, node: string): GatewayError {
  return new GatewayError('workflow_invalid', `Node ${node}: ${reason}`);
}
