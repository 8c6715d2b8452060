import { type Graph, type GraphNode, isLink, type Slot } from '../graph.ts';
import { didYouMean } from '../nearest.ts';
import { labelOf } from '../node-label.ts';
import { invalid, type Parameter, type WorkflowInput, type WorkflowOutput } from '../workflow.ts';
import type { NodeTitles } from './titles.ts';
import { type BindingWishes, findNode, type ParameterWish } from './wishes.ts';

/**
 * The values that a task may choose: what the sidecar names, then what titles and the editor's file
 * expose, then what everybody asks for. `taken` are the places that are spoken for.
 *
 * @throws GatewayError `workflow_invalid`, its message naming the node and its choices.
 */
export function findParameters(
  graph: Graph,
  titles: NodeTitles,
  wishes: Pick<BindingWishes, 'parameters' | 'exposures'>,
  inputs: readonly WorkflowInput[],
  outputs: readonly WorkflowOutput[],
): Parameter[] {
  const spokenFor = spokenForSlots(inputs, outputs);
  const exposed = new Map<string, Slot[]>();
  for (const { name, slot } of [...titledSlots(graph, titles), ...wishes.exposures]) {
    add(exposed, name, slot);
  }
  for (const { name, slots } of wishes.parameters) {
    if (slots.length === 0) continue;
    const found = slots.map((slot) => ({
      node: findNode(graph, titles, slot.node, `Its .meta.json: parameters.${name}`),
      field: slot.field,
    }));
    exposed.set(name, found);
  }
  for (const [name, slots] of exposed) {
    for (const slot of slots) checkSlot(graph, slot, name, spokenFor);
  }
  const explicit = new Set([...exposed.values()].flat().map(keyOf));
  const inputNames = new Set(inputs.map(({ name }) => name));
  for (const [name, slots] of usualParameters(graph)) {
    if (exposed.has(name) || inputNames.has(name)) continue;
    const free = slots.filter((slot) => !explicit.has(keyOf(slot)) && !spokenFor.has(keyOf(slot)));
    if (free.length > 0) exposed.set(name, free);
  }
  return applyWishes(graph, exposed, wishes.parameters);
}

function applyWishes(
  graph: Graph,
  exposed: ReadonlyMap<string, readonly Slot[]>,
  wishes: readonly ParameterWish[],
): Parameter[] {
  const wishOf = new Map(wishes.map((wish) => [wish.name, wish]));
  for (const { name } of wishes) {
    if (exposed.has(name)) continue;
    const hint = didYouMean(name, exposed.keys());
    throw invalid(
      `Its .meta.json: parameters.${name}: nothing of this name is found, so "node" and "field" are needed${hint}`,
    );
  }
  return [...exposed]
    .filter(([name]) => !wishOf.get(name)?.isHidden)
    .map(([name, slots]) => {
      const wish = wishOf.get(name);
      return {
        name,
        slots,
        schema: wish?.schema ?? null,
        description: wish?.description ?? null,
        default: wish?.default === undefined ? commonValue(graph, slots) : wish.default,
        // Also one that a choice brings along: `model.seed`.
        isSeed: slots.every(({ field }) => isSeedField(field.replace(/^.*\./s, ''))),
      };
    });
}

/** What all the places have; `undefined` where they differ, and each keeps its own. */
function commonValue(graph: Graph, slots: readonly Slot[]): unknown {
  const [first, ...others] = slots.map((slot) => valueAt(graph, slot));
  return others.every((value) => value === first) ? first : undefined;
}

/** An input may be found under one name only, and what we set ourselves is no choice of a task. */
function spokenForSlots(
  inputs: readonly WorkflowInput[],
  outputs: readonly WorkflowOutput[],
): ReadonlyMap<string, string> {
  return new Map([
    ...inputs.map(({ name, slot }) => [keyOf(slot), `the input ${name} goes there`] as const),
    ...outputs.flatMap(({ node, prefixField }) =>
      prefixField === null
        ? []
        : [[keyOf({ node, field: prefixField }), 'the gateway names the files'] as const],
    ),
  ]);
}

function* titledSlots(graph: Graph, titles: NodeTitles): Generator<{ name: string; slot: Slot }> {
  for (const [id, { tokens }] of titles) {
    for (const { duty, name, field } of tokens) {
      if (duty !== 'param' || name === null) continue;
      const node = graph[id] as GraphNode;
      yield { name, slot: { node: id, field: field ?? theField(id, node, name) } };
    }
  }
}

/** Which input of the node `@param:NAME` means. */
function theField(id: string, node: GraphNode, name: string): string {
  const choices = choosableFields(node);
  const [only, second] = choices;
  if (only !== undefined && second === undefined) return only;
  if (choices.includes(name)) return name;
  const where = `${labelOf(id, node)} is titled @param:${name}`;
  if (choices.length === 0) throw invalid(`${where}, but it has no value to choose`);
  throw invalid(
    `${where}, but it has several values; write @param:${name}=FIELD with one of ${choices.join(', ')}`,
  );
}

function checkSlot(
  graph: Graph,
  { node: id, field }: Slot,
  name: string,
  spokenFor: ReadonlyMap<string, string>,
): void {
  if (!Object.hasOwn(graph, id)) throw invalid(`The parameter ${name}: there is no node ${id}`);
  const node = graph[id] as GraphNode;
  const where = `The parameter ${name}: ${labelOf(id, node)}`;
  if (!Object.hasOwn(node.inputs, field)) {
    const choices = choosableFields(node);
    const list = choices.length === 0 ? '' : `; it has ${choices.join(', ')}`;
    throw invalid(`${where} has no input ${JSON.stringify(field)}${list}`);
  }
  if (Array.isArray(node.inputs[field])) {
    throw invalid(`${where}: its ${field} comes from another node, so no value can be put there`);
  }
  const owner = spokenFor.get(keyOf({ node: id, field }));
  if (owner !== undefined) throw invalid(`${where}: its ${field} is no parameter; ${owner}`);
}

function choosableFields(node: GraphNode): string[] {
  return Object.keys(node.inputs).filter((field) => isScalar(node.inputs[field]));
}

/** Parameters that everybody asks for, by name; those whose places differ are left to the operator. */
function* usualParameters(graph: Graph): Generator<[name: string, slots: Slot[]]> {
  const seeds = fieldsOf(graph, (_, field) => isSeedField(field), 'number');
  if (seeds.length > 0) yield ['seed', seeds];
  for (const field of ['steps', 'cfg', 'denoise']) {
    const slots = fieldsOf(graph, (node, each) => each === field && isSampler(node), 'number');
    if (agree(graph, slots)) yield [field, slots];
  }
  const positive = promptSlots(graph, 'positive');
  const negative = promptSlots(graph, 'negative');
  const isShared = negative.some((slot) => positive.some((each) => keyOf(each) === keyOf(slot)));
  if (agree(graph, positive)) yield ['prompt', positive];
  if (!isShared && agree(graph, negative)) yield ['negative_prompt', negative];
  const tileSizes = fieldsOf(graph, (_, field) => field === 'tile_size', 'number');
  if (agree(graph, tileSizes)) yield ['tile_size', tileSizes];
}

function agree(graph: Graph, slots: readonly Slot[]): boolean {
  return slots.length > 0 && commonValue(graph, slots) !== undefined;
}

function fieldsOf(
  graph: Graph,
  isWanted: (node: GraphNode, field: string) => boolean,
  type: 'number' | 'string',
): Slot[] {
  return Object.entries(graph).flatMap(([id, node]) =>
    Object.entries(node.inputs)
      .filter(([field, value]) => typeof value === type && isWanted(node, field))
      .map(([field]) => ({ node: id, field })),
  );
}

function isSeedField(field: string): boolean {
  return field === 'seed' || field === 'noise_seed';
}

/** `KSampler` and its kin, `CFGGuider` and whatever else samples or guides a model. */
function isSampler({ inputs }: GraphNode): boolean {
  return isLink(inputs.model) && isLink(inputs.positive);
}

type Side = 'positive' | 'negative';

/** The texts that say what a sampler is to make, or not to make. */
function promptSlots(graph: Graph, side: Side): Slot[] {
  const seen = new Set<string>();
  const slots: Slot[] = [];
  const open = Object.values(graph).flatMap((node) => (isSampler(node) ? [node.inputs[side]] : []));
  while (open.length > 0) {
    const link = open.pop();
    if (!isLink(link) || seen.has(link[0])) continue;
    seen.add(link[0]);
    const node = graph[link[0]] as GraphNode;
    if (node.class_type !== 'CLIPTextEncode') open.push(...conditioningOf(node, side));
    else if (typeof node.inputs.text === 'string') slots.push({ node: link[0], field: 'text' });
  }
  return slots;
}

/** Where a node that changes a conditioning has it from. */
function conditioningOf({ inputs }: GraphNode, side: Side): unknown[] {
  return Object.entries(inputs)
    .filter(([field]) => field === side || field.startsWith('conditioning'))
    .map(([, value]) => value);
}

function isScalar(value: unknown): boolean {
  return ['string', 'number', 'boolean'].includes(typeof value);
}

function valueAt(graph: Graph, { node, field }: Slot): unknown {
  return graph[node]?.inputs[field];
}

function keyOf({ node, field }: Slot): string {
  return JSON.stringify([node, field]);
}

function add(slots: Map<string, Slot[]>, name: string, slot: Slot): void {
  const known = slots.get(name) ?? [];
  const isThere = known.some((each) => keyOf(each) === keyOf(slot));
  if (!isThere) slots.set(name, [...known, slot]);
}
