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
