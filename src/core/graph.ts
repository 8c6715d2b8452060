/** A ComfyUI graph in API format: node id to node. */
export type Graph = Readonly<Record<string, GraphNode>>;

export interface GraphNode {
  readonly class_type: string;
  readonly inputs: Readonly<Record<string, unknown>>;
  readonly _meta?: { readonly title?: string };
}

/** One input of one node. */
export interface Slot {
  readonly node: string;
  readonly field: string;
}

/** Where an input's value comes from when it is linked. */
export type Link = readonly [node: string, output: number];

/** Whether an input's value stands for an output of another node. */
export function isLink(value: unknown): value is Link {
  return (
    Array.isArray(value) &&
    value.length === 2 &&
    typeof value[0] === 'string' &&
    Number.isInteger(value[1])
  );
}

/** Where an output of a node goes. */
export function linksFrom(graph: Graph, id: string, output: number): Slot[] {
  return Object.entries(graph).flatMap(([node, { inputs }]) =>
    Object.entries(inputs).flatMap(([field, link]) =>
      isLink(link) && link[0] === id && link[1] === output ? [{ node, field }] : [],
    ),
  );
}
