import { invalid } from '../../core/workflow.ts';
import { describe, type Sheet, type SheetNode } from './sheet.ts';

/** How much a graph may have once all subgraphs stand in the places of their instances. */
const maxPlaces = 20_000;
const maxInputs = 400_000;
/** How deep subgraphs may stand in each other. */
const maxDepth = 32;

/** A node where it runs: one node of a subgraph has a place in every instance. */
export interface Place {
  /** The ids of the instances that it stands in, from the outermost, and its own: `57:3`. */
  readonly id: string;
  readonly node: SheetNode;
  readonly sheet: Sheet;
  /** The instance that it stands in. */
  readonly host: Place | null;
}

/** @throws GatewayError `workflow_invalid` */
export function placesOf(root: Sheet): ReadonlyMap<string, Place> {
  const places = new Map<string, Place>();
  let inputs = 0;
  const left: { readonly sheet: Sheet; readonly host: Place | null; readonly depth: number }[] = [
    { sheet: root, host: null, depth: 0 },
  ];
  for (let next = left.pop(); next; next = left.pop()) {
    const { sheet, host, depth } = next;
    if (depth > maxDepth) {
      throw invalid(`Subgraphs stand more than ${maxDepth} deep in each other`);
    }
    for (const node of sheet.nodes.values()) {
      const place = { id: placeId(host, node.id), node, sheet, host };
      if (places.has(place.id)) {
        throw invalid(`${describe(node, place.id)}: another node has the same id`);
      }
      if (places.size >= maxPlaces) {
        throw invalid(`The graph has more than ${maxPlaces} nodes, those in subgraphs included`);
      }
      inputs += node.inputs.length;
      if (inputs > maxInputs) {
        throw invalid(`The graph has more than ${maxInputs} inputs, those in subgraphs included`);
      }
      places.set(place.id, place);
      if (node.subgraph) left.push({ sheet: node.subgraph, host: place, depth: depth + 1 });
    }
  }
  return places;
}

export function placeId(host: Place | null, id: string): string {
  return host ? `${host.id}:${id}` : id;
}
