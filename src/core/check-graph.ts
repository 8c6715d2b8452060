import { type Graph, type GraphNode, isLink } from './graph.ts';
import { labelOf, labelsOf } from './node-label.ts';
import { invalid } from './workflow.ts';

/**
 * Looks whether it is a graph that some server may run: nodes that have a class, links that lead to
 * nodes, and no cycle.
 *
 * @throws GatewayError `workflow_invalid`, its message naming the node.
 */
export function checkGraph(graph: unknown): asserts graph is Graph {
  if (!isRecord(graph)) throw invalid('The graph is no JSON object of nodes');
  for (const [id, node] of Object.entries(graph)) checkNode(id, node);
  const nodes = graph as Graph;
  if (Object.keys(nodes).length === 0) throw invalid('The graph has no nodes');
  for (const [id, node] of Object.entries(nodes)) checkLinks(nodes, id, node);
  const cycle = findCycle(nodes);
  if (cycle) throw invalid(`The graph has a cycle: ${labelsOf(nodes, cycle, ' → ')}`);
}

function checkNode(id: string, node: unknown): asserts node is GraphNode {
  const wrong = (what: string) => invalid(`Node ${id}: ${what}`);
  if (!isRecord(node)) {
    throw wrong('it is no JSON object; a graph in API format holds nodes and nothing else');
  }
  const { class_type: className, inputs, _meta: meta } = node;
  if (typeof className !== 'string' || className === '') {
    throw wrong('class_type is missing; it names the class of the node');
  }
  if (!isRecord(inputs)) throw wrong('inputs is missing, or no JSON object');
  if (meta === undefined) return;
  if (!isRecord(meta)) throw wrong('_meta is no JSON object');
  if (meta.title !== undefined && typeof meta.title !== 'string')
    throw wrong('its title is no text');
}

function checkLinks(graph: Graph, id: string, node: GraphNode): void {
  for (const [field, value] of Object.entries(node.inputs)) {
    if (!isLink(value) || Object.hasOwn(graph, value[0])) continue;
    throw invalid(
      `${labelOf(id, node)}: its ${field} is linked to node ${value[0]}, which is missing`,
    );
  }
}

/** The ids along a cycle, the first of them again at the end; `null` where there is none. */
function findCycle(graph: Graph): string[] | null {
  const finished = new Set<string>();
  for (const start of Object.keys(graph)) {
    // A chain of nodes may be longer than calls may be deep.
    const path: Step[] = [];
    const onPath = new Set<string>();
    const enter = (id: string) => {
      path.push({ id, sources: sourcesOf(graph[id] as GraphNode) });
      onPath.add(id);
    };
    if (!finished.has(start)) enter(start);
    for (let step = path.at(-1); step; step = path.at(-1)) {
      const source = step.sources.pop();
      if (source === undefined) {
        path.pop();
        onPath.delete(step.id);
        finished.add(step.id);
      } else if (onPath.has(source)) {
        const ids = path.map(({ id }) => id);
        return [...ids.slice(ids.indexOf(source)), source];
      } else if (!finished.has(source)) {
        enter(source);
      }
    }
  }
  return null;
}

interface Step {
  readonly id: string;
  /** The nodes that it needs and that were not followed yet. */
  readonly sources: string[];
}

function sourcesOf(node: GraphNode): string[] {
  return Object.values(node.inputs).flatMap((value) => (isLink(value) ? value[0] : []));
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
