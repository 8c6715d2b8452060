import type { Exposure } from '../../core/bindings/wishes.ts';
import { checkGraph } from '../../core/check-graph.ts';
import { type Graph, type GraphNode, isLink } from '../../core/graph.ts';
import type { NodeCatalogue } from '../../core/node-catalogue.ts';
import { invalid } from '../../core/workflow.ts';
import { buildSheets } from './build-sheets.ts';
import { checkExposures } from './exposures.ts';
import { type Place, placesOf } from './places.ts';
import { applyPrimitives } from './primitives.ts';
import { type Field, fieldsOf, isActive } from './prompt.ts';
import { readEditorFile } from './read.ts';
import { describe, type Sheet } from './sheet.ts';
import { namedNodes } from './text.ts';
import { withUniqueIds } from './unique-ids.ts';
import { withUnseenLinks } from './unseen-links.ts';
import { isGroupNode, isMadeInBrowser, isSubgraphType, linksUnseen } from './virtual-nodes.ts';

export interface Converted {
  readonly graph: Graph;
  readonly exposures: readonly Exposure[];
}

/** Whether the file is in the editor's own format. */
export function isEditorGraph(value: object): boolean {
  return 'nodes' in value && Array.isArray(value.nodes);
}

/**
 * Makes of a file that ComfyUI's editor saved the graph that the editor would send for it. Where the
 * editor would send nodes that the server does not know, they are left out if nothing depends on them.
 *
 * @throws GatewayError `workflow_invalid`, its message naming the node.
 */
export function convertEditorGraph(file: object, catalogue: NodeCatalogue): Converted {
  const root = buildSheets(withUniqueIds(withUnseenLinks(readEditorFile(file))), catalogue);
  const places = placesOf(root);
  const sheets = sheetsOf(root);
  const nodes = namedNodes(sheets.flatMap((sheet) => [...sheet.nodes.values()]));
  applyPrimitives(sheets, nodes);

  const sent = new Map<string, readonly Field[]>();
  const unknown = new Map<string, Place>();
  for (const place of places.values()) {
    if (!isActive(place)) continue;
    refuseUnsupported(place);
    const { kind, type } = place.node;
    if (kind === 'unknown' || isMadeInBrowser(type)) unknown.set(place.id, place);
    else if (kind === 'class') sent.set(place.id, fieldsOf(places, place, nodes));
  }
  refuseNeeded(unknown, sent, places, catalogue);

  const graph = graphOf(sent, places);
  checkGraph(graph);
  const exposures = exposuresOf(sent);
  checkExposures([...places.values()].filter(isActive), exposures);
  return { graph, exposures };
}

function sheetsOf(root: Sheet): Sheet[] {
  const found = new Set([root]);
  // A set's new members are iterated over as well.
  for (const { nodes } of found) {
    for (const { subgraph } of nodes.values()) if (subgraph) found.add(subgraph);
  }
  return [...found];
}

function graphOf(
  sent: ReadonlyMap<string, readonly Field[]>,
  places: ReadonlyMap<string, Place>,
): Graph {
  const graph: Record<string, GraphNode> = Object.create(null);
  for (const [id, fields] of sent) {
    const { type, title } = (places.get(id) as Place).node;
    // What is linked to a node that is not sent is not sent either.
    const present = fields.filter(({ value }) => !isLink(value) || sent.has(value[0]));
    const inputs = Object.fromEntries(present.map(({ name, value }) => [name, value]));
    graph[id] = { class_type: type, inputs, _meta: { title } };
  }
  return graph;
}

function exposuresOf(sent: ReadonlyMap<string, readonly Field[]>): Exposure[] {
  return [...sent].flatMap(([node, fields]) =>
    fields.flatMap(({ name: field, params }) =>
      [...new Set(params)].map((name) => ({ name, slot: { node, field } })),
    ),
  );
}

/** What cannot be converted, and would be missing without a word if it were left out. */
function refuseUnsupported({ node, id, sheet }: Place): void {
  const { kind, type } = node;
  if (linksUnseen(type) && !sheet.showsAll) {
    throw invalid(
      `${describe(node, id)} links inputs without showing it, and the file does not hold these links; save it again with a current version of the pack, draw these links, or export the workflow in API format`,
    );
  }
  if (kind !== 'unknown') return;
  if (isGroupNode(type)) {
    throw invalid(
      `${describe(node, id)} is a group node, which ComfyUI has given up; open the file in a current ComfyUI, which makes a subgraph of it, and save it again`,
    );
  }
  if (isSubgraphType(type)) {
    throw invalid(`${describe(node, id)} is a subgraph that is not in the file`);
  }
}

/** Refuses unknown nodes without which some result would not come to be, all of them at once. */
function refuseNeeded(
  unknown: ReadonlyMap<string, Place>,
  sent: ReadonlyMap<string, readonly Field[]>,
  places: ReadonlyMap<string, Place>,
  catalogue: NodeCatalogue,
): void {
  const needed = new Set(
    [...sent.keys()].filter((id) => catalogue.get(places.get(id)?.node.type ?? '')?.isOutput),
  );
  for (const id of needed) {
    for (const { value } of sent.get(id) ?? []) if (isLink(value)) needed.add(value[0]);
  }
  const missing = [...needed].flatMap((id) => unknown.get(id) ?? []);
  if (missing.length > 0) throw unavailable(missing);
}

function unavailable(missing: readonly Place[]): Error {
  const inBrowser = missing.find(({ node }) => isMadeInBrowser(node.type));
  if (inBrowser) {
    const where = describe(inBrowser.node, inBrowser.id);
    return invalid(
      `${where} takes its value from the browser, where nobody is when a task runs; load a file instead`,
    );
  }
  const classes = [...new Set(missing.map(({ node }) => node.type))];
  const [first] = missing as [Place];
  if (classes.length === 1) {
    const where = describe(first.node, first.id);
    return invalid(
      `${where}: the backend has no class ${first.node.type}; install the custom node that brings it`,
    );
  }
  return invalid(
    `The backend has no classes ${classes.join(', ')}; install the custom nodes that bring them`,
  );
}
