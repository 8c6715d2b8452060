import { invalid } from '../../core/workflow.ts';
import type { EditorFile, EditorNode, EditorSubgraph } from './read.ts';

/** The editor's own limit. */
const highestId = 100_000_000;

/**
 * Gives new ids to the nodes of subgraphs whose ids stand elsewhere in the file already, as the editor
 * does on loading. The ids of a prompt's nodes are made of them.
 */
export function withUniqueIds(file: EditorFile): EditorFile {
  const taken = new Set(file.nodes.map(({ id }) => id));
  let lastId = file.lastNodeId;
  const renamed = new Map<string, ReadonlyMap<string, string>>();
  for (const subgraph of file.subgraphs) {
    const newIds = new Map<string, string>();
    for (const { id } of subgraph.nodes) {
      if (taken.has(id)) {
        do {
          lastId += 1;
          if (lastId > highestId) throw invalid('The file has used up all ids for nodes');
        } while (taken.has(String(lastId)));
        newIds.set(id, String(lastId));
      } else if (isNumeric(id)) {
        lastId = Math.max(lastId, Number(id));
      }
      taken.add(newIds.get(id) ?? id);
    }
    renamed.set(subgraph.id, newIds);
  }
  return {
    ...file,
    nodes: file.nodes.map((node) => promotingRenamed(node, renamed)),
    subgraphs: file.subgraphs.map((subgraph) =>
      withIds(subgraph, renamed.get(subgraph.id) ?? new Map(), renamed),
    ),
  };
}

function withIds(
  subgraph: EditorSubgraph,
  newIds: ReadonlyMap<string, string>,
  renamed: ReadonlyMap<string, ReadonlyMap<string, string>>,
): EditorSubgraph {
  return {
    ...subgraph,
    nodes: subgraph.nodes.map((node) =>
      promotingRenamed({ ...node, id: newIds.get(node.id) ?? node.id }, renamed),
    ),
    links: subgraph.links.map((link) => ({
      ...link,
      origin: newIds.get(link.origin) ?? link.origin,
      target: newIds.get(link.target) ?? link.target,
    })),
  };
}

/** The instances of a subgraph name the nodes inside whose widgets they show. */
function promotingRenamed(
  node: EditorNode,
  renamed: ReadonlyMap<string, ReadonlyMap<string, string>>,
): EditorNode {
  const newIds = renamed.get(node.type);
  const { proxyWidgets } = node.properties;
  if (!newIds?.size || !Array.isArray(proxyWidgets)) return node;
  const patched = proxyWidgets.map((entry: unknown) =>
    Array.isArray(entry) ? [newIds.get(String(entry[0])) ?? entry[0], ...entry.slice(1)] : entry,
  );
  return { ...node, properties: { ...node.properties, proxyWidgets: patched } };
}

function isNumeric(id: string): boolean {
  return String(Number.parseInt(id, 10)) === id;
}
