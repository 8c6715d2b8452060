import { labelOf } from '../../core/node-label.ts';
import { invalid } from '../../core/workflow.ts';
import {
  type EditorFile,
  type EditorLink,
  type EditorNode,
  type EditorSheet,
  type EditorSubgraph,
  subgraphOutputs,
  type UnseenLink,
} from './read.ts';
import { linksUnseen } from './virtual-nodes.ts';

/**
 * Draws the links that nodes of "Anything Everywhere" make without showing them, as their own code does
 * before the editor makes a prompt, and takes these nodes out where they carry nothing else. The file holds
 * such links where it was saved with the pack; where it holds none, the nodes stay.
 *
 * @throws GatewayError `workflow_invalid` for one that ends at an input which the file lacks.
 */
export function withUnseenLinks(file: EditorFile): EditorFile {
  return {
    ...file,
    ...drawn(file),
    subgraphs: file.subgraphs.map((subgraph) => ({
      ...subgraph,
      ...drawn(subgraph),
      outputs: outputsOf(subgraph),
    })),
  };
}

function drawn(sheet: EditorSheet): Pick<EditorSheet, 'nodes' | 'links'> {
  const { unseenLinks, nodes, links } = sheet;
  if (!unseenLinks) return { nodes, links };
  const origins = new Set(unseenLinks.map(({ origin }) => origin));
  // One that gives a value of its own, such as a seed, is a node like others.
  const isGone = ({ id, type }: EditorNode) => linksUnseen(type) && !origins.has(id);
  const byTarget = Map.groupBy(unseenLinks.entries(), ([, { target }]) => target);
  return {
    nodes: nodes
      .filter((node) => !isGone(node))
      .map((node) => linked(node, byTarget.get(node.id) ?? [])),
    links: [...links, ...unseenLinks.map(asLink)],
  };
}

function linked(
  node: EditorNode,
  ending: readonly (readonly [index: number, link: UnseenLink])[],
): EditorNode {
  if (ending.length === 0) return node;
  const inputs = [...node.inputs];
  for (const [index, { targetSlot }] of ending) {
    const input = inputs[targetSlot];
    if (!input) {
      const where = labelOf(node.id, { class_type: node.type, inputs: {} });
      throw invalid(`${where}: a link of "Anything Everywhere" ends at an input that it lacks`);
    }
    inputs[targetSlot] = { ...input, link: linkId(index) };
  }
  return { ...node, inputs };
}

function outputsOf({ outputs, unseenLinks }: EditorSubgraph): EditorSubgraph['outputs'] {
  return outputs.map((output, slot) => {
    const ending = (unseenLinks ?? []).findIndex(
      ({ target, targetSlot }) => target === subgraphOutputs && targetSlot === slot,
    );
    return ending < 0 || output.links.length > 0 ? output : { ...output, links: [linkId(ending)] };
  });
}

function asLink({ origin, originSlot, target }: UnseenLink, index: number): EditorLink {
  return { id: linkId(index), origin, originSlot, target };
}

/** The editor's own ids are numbers. */
function linkId(index: number): string {
  return `everywhere ${index}`;
}
