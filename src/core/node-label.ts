import type { Graph, GraphNode } from './graph.ts';

/** The node's title; `null` where it says no more than the class. */
function titleOf({ class_type: className, _meta: meta }: GraphNode): string | null {
  const title = meta?.title?.trim();
  return title && lettersOf(title) !== lettersOf(className) ? title : null;
}

/** To compare names that people and programs write: `Load Image` and `LoadImage`. */
export function lettersOf(name: string): string {
  return name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '');
}

/** A node as its operator finds it in the editor: `LoadImage (node 3, "the mask")`. */
export function labelOf(id: string, node: GraphNode): string {
  const title = titleOf(node);
  return `${node.class_type} (node ${id}${title === null ? '' : `, ${JSON.stringify(title)}`})`;
}

/** Several of them, for a message: not more than can be read. */
export function labelsOf(graph: Graph, ids: readonly string[], separator = ', '): string {
  const labels = ids.slice(0, maxLabels).map((id) => labelOf(id, graph[id] as GraphNode));
  const hidden = ids.length - labels.length;
  return [...labels, ...(hidden > 0 ? [`and ${hidden} more`] : [])].join(separator);
}

const maxLabels = 8;
