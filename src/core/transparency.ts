import { type GraphNode, isLink, type Link, type Slot } from './graph.ts';
import type { Workflow } from './workflow.ts';

/** The class that gives pictures an alpha; it brings the mask to their size itself. */
export const alphaClass = 'JoinImageWithAlpha';

/** How the transparency of the main input gets into the main output. */
export interface AlphaWay {
  /** Where the pictures arrive that shall have it. */
  readonly pictures: Slot;
  /** The mask that the loader gives beside the picture: what is seen through is 1. */
  readonly mask: Link;
}

/** What writes alpha into its files. */
const writers = new Set(['SaveImage', 'PreviewImage']);

type Inputs = GraphNode['inputs'];

/**
 * Classes that leave everything in a picture where it is; for each, the input to follow back. Any other may
 * move things, or make a transparency of its own.
 */
const keepers: Readonly<Record<string, (inputs: Inputs) => string | null>> = {
  ImageUpscaleWithModel: () => 'image',
  ImageScale: ({ crop }) => (crop === 'disabled' ? 'image' : null),
  ImageScaleBy: () => 'image',
  ImageScaleToTotalPixels: () => 'image',
  ImageScaleToMaxDimension: () => 'image',
  ImageSharpen: () => 'image',
  ImageBlur: () => 'image',
  ResizeImageMaskNode: ({ resize_type: type }) => (uncut.has(type) ? 'input' : null),
  SeedVR2VideoUpscaler: () => 'image',
  SeedVR2PostProcessing: () => 'original_resized_images',
};

/** Of `ResizeImageMaskNode`; the others may cut the picture. */
const uncut = new Set<unknown>([
  'scale by multiplier',
  'scale longer dimension',
  'scale shorter dimension',
  'scale width',
  'scale height',
  'scale total pixels',
]);

/** `null` for a graph in which it would be in the wrong place, or is somebody else's. */
export function alphaWay({
  graph,
  inputs: [input],
  outputs: [output],
}: Pick<Workflow, 'graph' | 'inputs' | 'outputs'>): AlphaWay | null {
  const pictures = output?.pictures;
  if (!input || !pictures || !writers.has(graph[output.node]?.class_type ?? '')) return null;
  const loader = input.slot.node;
  if (graph[loader]?.class_type !== 'LoadImage') return null;
  // A graph that uses the mask means something else by it, such as where to paint.
  const isUsed = Object.values(graph).some(({ inputs }) =>
    Object.values(inputs).some((link) => isLink(link) && link[0] === loader && link[1] !== 0),
  );
  return !isUsed && leadsTo(graph, pictures, loader) ? { pictures, mask: [loader, 1] } : null;
}

/** Whether the source's transparency comes back in the main output; `null` for what makes no picture of one. */
export function keepsTransparency(
  workflow: Pick<Workflow, 'graph' | 'inputs' | 'outputs'>,
): boolean | null {
  const [input] = workflow.inputs;
  const [output] = workflow.outputs;
  if (input?.kind !== 'image' || output?.kind !== 'image') return null;
  const joins = Object.values(workflow.graph).some(({ class_type }) => class_type === alphaClass);
  return joins || alphaWay(workflow) !== null;
}

function leadsTo(graph: Workflow['graph'], pictures: Slot, loader: string): boolean {
  let { node: id, field }: { node: string; field: string | null } = pictures;
  // No node has to be passed twice, and a way with a cycle ends.
  for (let left = Object.keys(graph).length; left > 0 && field !== null; left -= 1) {
    const link = graph[id]?.inputs[field];
    if (!isLink(link) || link[1] !== 0) return false;
    [id] = link;
    if (id === loader) return true;
    const node = graph[id];
    const keeper = node && Object.hasOwn(keepers, node.class_type) && keepers[node.class_type];
    field = keeper ? keeper(node.inputs) : null;
  }
  return false;
}
