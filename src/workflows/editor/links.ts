import type { Link } from '../../core/graph.ts';
import { invalid } from '../../core/workflow.ts';
import { type Place, placeId } from './places.ts';
import { subgraphInputs } from './read.ts';
import { bypassed, describe, type Input, muted, type Sheet, type SheetNode } from './sheet.ts';
import { passesThrough, primitive, setterType } from './virtual-nodes.ts';

/** Where an input's value comes from, with everything that only carries it left out. */
export type Source =
  | { readonly kind: 'output'; readonly link: Link }
  /** An instance of a subgraph holds it. */
  | (Labelled & { readonly kind: 'value'; readonly value: unknown })
  /** What the node's own widget holds counts. */
  | (Labelled & { readonly kind: 'nothing' });

/** How inputs of instances on the way are labelled, and a primitive node at its end is titled. */
interface Labelled {
  readonly labels: readonly string[];
}

/** Steps on the way of one link, two for each node. No graph that somebody drew comes near it. */
const longestWay = 1_000;

/** A point on the way back along a link: before an input, or behind an output. */
interface Step {
  readonly side: 'input' | 'output';
  readonly place: Place;
  readonly slot: number;
  /** What the input takes from which the way began; bypassed nodes pass on what fits it. */
  readonly type: string | null;
}

/**
 * Follows an input back through reroutes, bypassed nodes and the frames of subgraphs.
 *
 * @throws GatewayError `workflow_invalid` where the way is broken or leads in a circle.
 */
export function sourceOf(places: ReadonlyMap<string, Place>, place: Place, slot: number): Source {
  const labels: string[] = [];
  let step: Step | null = { side: 'input', place, slot, type: null };
  for (let passed = 0; step; passed++) {
    if (passed > longestWay) {
      throw broken(
        place,
        `one of its links leads in a circle, or through more than ${longestWay / 2} nodes`,
      );
    }
    const { node } = step.place;
    if (step.side === 'input') {
      const next = beforeInput(places, step);
      if (next?.side === 'input') {
        const input = next.place.node.inputs[next.slot] as Input;
        if (input.label !== null) labels.push(input.label);
        if (input.link === null) {
          return input.promoted
            ? { kind: 'value', value: input.promoted.value, labels }
            : { kind: 'nothing', labels };
        }
      }
      step = next;
    } else if (node.mode === muted) {
      step = null;
    } else if (node.mode === bypassed) {
      step = bypass(step);
    } else if (node.subgraph) {
      step = intoSubgraph(places, step, node.subgraph);
    } else if (node.kind === 'virtual') {
      if (node.type === primitive) labels.push(node.title);
      step = throughVirtual(step);
    } else {
      checkOutput(step);
      return { kind: 'output', link: [step.place.id, step.slot] };
    }
  }
  return { kind: 'nothing', labels };
}

/** @returns `null` for an input that nothing is linked to. */
function beforeInput(places: ReadonlyMap<string, Place>, { place, slot, type }: Step): Step | null {
  const input = place.node.inputs[slot];
  if (!input) throw broken(place, `it has no input number ${slot}`);
  if (input.link === null) return null;
  const link = place.sheet.links.get(input.link);
  if (!link) throw broken(place, `the link of its input "${input.name}" is not in the file`);
  if (link.origin === subgraphInputs && place.host) {
    if (!place.host.node.inputs[link.originSlot]) {
      throw broken(
        place,
        `its input "${input.name}" is linked to an input that its subgraph lacks`,
      );
    }
    return { side: 'input', place: place.host, slot: link.originSlot, type: null };
  }
  const origin = places.get(placeId(place.host, link.origin));
  if (!origin) {
    throw broken(place, `its input "${input.name}" is linked to a node that is not in the file`);
  }
  return { side: 'output', place: origin, slot: link.originSlot, type: type ?? input.type };
}

function intoSubgraph(
  places: ReadonlyMap<string, Place>,
  { place, slot, type }: Step,
  subgraph: Sheet,
): Step | null {
  const output = subgraph.outputs[slot];
  if (!output) throw broken(place, `it has no output number ${slot}`);
  const link = output.links.map((id) => subgraph.links.get(id)).find((found) => found);
  if (!link) return null;
  if (link.origin === subgraphInputs) {
    return { side: 'input', place, slot: link.originSlot, type: null };
  }
  const origin = places.get(placeId(place, link.origin));
  if (!origin) throw broken(place, 'one of its outputs is linked to a node that is not in it');
  return { side: 'output', place: origin, slot: link.originSlot, type };
}

function throughVirtual({ place, slot, type }: Step): Step | null {
  const { node } = place;
  const setter = setterType(node.type);
  if (setter !== undefined) {
    return { side: 'input', place: setterFor(place, setter), slot: 0, type };
  }
  const passes = passesThrough(node.type) && node.inputs[slot] !== undefined;
  return passes ? { side: 'input', place, slot, type } : null;
}

/** On the same canvas, or on those around it. */
function setterFor(getter: Place, type: string): Place {
  const name = firstValue(getter.node);
  for (let at: Place | null = getter; at; at = at.host) {
    const { sheet, host } = at;
    const node = settersOf(sheet).get(`${type} ${name}`);
    if (node) return { id: placeId(host, node.id), node, sheet, host };
  }
  throw broken(getter, `there is no setter for "${name}"`);
}

const setters = new WeakMap<Sheet, ReadonlyMap<string, SheetNode>>();

/** By type and name; the first of those that have the same. */
function settersOf(sheet: Sheet): ReadonlyMap<string, SheetNode> {
  const known = setters.get(sheet);
  if (known) return known;
  const entries = [...sheet.nodes.values()].map(
    (node) => [`${node.type} ${firstValue(node)}`, node] as const,
  );
  const found = new Map(entries.reverse());
  setters.set(sheet, found);
  return found;
}

function firstValue({ values }: SheetNode): string {
  const [first] = Array.isArray(values) ? values : [];
  return typeof first === 'string' ? first : '';
}

/** A bypassed node passes on what arrives at an input of the fitting type. */
function bypass({ place, slot, type }: Step): Step | null {
  const { inputs, outputs } = place.node;
  const index = bypassIndex(inputs, outputs[slot]?.type ?? '*', slot, type ?? '*');
  return inputs[index] ? { side: 'input', place, slot: index, type: null } : null;
}

function bypassIndex(
  inputs: readonly Input[],
  outputType: string,
  slot: number,
  wanted: string,
): number {
  if (wanted === '*' || wanted === '') return inputs.length > slot ? slot : 0;
  const fits = ({ type }: Input): boolean =>
    areCompatible(type, outputType) && areCompatible(type, wanted);
  const opposite = inputs[slot];
  if (opposite && fits(opposite)) return slot;
  const exact = inputs.findIndex(({ type }) => type === wanted);
  return exact >= 0 ? exact : inputs.findIndex(fits);
}

function areCompatible(one: string, other: string): boolean {
  const types = [one, other].map((type) => type.toLowerCase().split(','));
  const isOpen = types.some((list) => list.some((type) => ['', '*', '0'].includes(type)));
  return isOpen || (types[0] ?? []).some((type) => types[1]?.includes(type));
}

function checkOutput({ place, slot }: Step): void {
  const { node } = place;
  if (node.kind === 'class' && node.outputs[slot] === undefined) {
    throw broken(place, `a link begins at its output number ${slot}, which it does not have`);
  }
}

function broken({ node, id }: Place, reason: string): Error {
  return invalid(`${describe(node, id)}: ${reason}`);
}
