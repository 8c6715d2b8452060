import { type Graph, type GraphNode, isLink } from './graph.ts';
import type { NodeCatalogue } from './node-catalogue.ts';
import type { Workflow } from './workflow.ts';

/** What only shows something: its files are temporary, and nobody looks at them here. */
const previewClasses: ReadonlySet<string> = new Set([
  'PreviewImage',
  'PreviewAudio',
  'MaskPreview',
  'MaskPreview+',
  'ImageAndMaskPreview',
  'ImageCompare',
  'Image Comparer (rgthree)',
  'PreviewBridge',
]);

function isPreview({ class_type: className, inputs }: GraphNode): boolean {
  const isTemporary = className === 'VHS_VideoCombine' && inputs.save_output === false;
  return isTemporary || previewClasses.has(className);
}

/**
 * The nodes that a server would run for nothing: previews beside the results, and what leads to nothing
 * else. A preview costs a whole PNG while the GPU waits. One that is a result stays, and so does one
 * without which a result would not come to be.
 */
export function needlessNodes(
  graph: Graph,
  { outputs }: Pick<Workflow, 'outputs'>,
  catalogue: NodeCatalogue | null,
): ReadonlySet<string> {
  const takers = takersOf(graph);
  const results = new Set(outputs.map(({ node }) => node));
  const classOf = (id: string) => catalogue?.get(graph[id]?.class_type ?? '');
  // ComfyUI makes a result that is no output node only for an output node behind it.
  const driven = [...results].filter((id) => !classOf(id)?.isOutput);
  const driving = behind(driven, takers);
  const needless = new Set<string>();
  const isNeedless = (id: string, node: GraphNode): boolean => {
    const takenBy = takers.get(id) ?? [];
    if (results.has(id) || driving.has(id)) return false;
    if (takenBy.some((taker) => !needless.has(taker))) return false;
    return isPreview(node) || (takenBy.length > 0 && classOf(id)?.isOutput === false);
  };
  const open = Object.keys(graph).filter((id) => isPreview(graph[id] as GraphNode));
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    const node = graph[id];
    if (!node || needless.has(id) || !isNeedless(id, node)) continue;
    needless.add(id);
    open.push(...sourcesOf(node));
  }
  return needless;
}

function takersOf(graph: Graph): ReadonlyMap<string, readonly string[]> {
  const takers = new Map<string, string[]>();
  for (const [id, node] of Object.entries(graph)) {
    for (const source of sourcesOf(node)) {
      const known = takers.get(source);
      if (known) known.push(id);
      else takers.set(source, [id]);
    }
  }
  return takers;
}

/** Those that need one of these, however far away. */
function behind(
  ids: readonly string[],
  takers: ReadonlyMap<string, readonly string[]>,
): ReadonlySet<string> {
  const found = new Set<string>();
  const open = [...ids];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    for (const taker of takers.get(id) ?? []) {
      if (found.has(taker)) continue;
      found.add(taker);
      open.push(taker);
    }
  }
  return found;
}

function sourcesOf({ inputs }: GraphNode): string[] {
  return Object.values(inputs).flatMap((value) => (isLink(value) ? value[0] : []));
}
