import { GatewayError } from './errors.ts';
import { type Graph, linksFrom, type Slot } from './graph.ts';

/**
 * The links by which the frames of a clip go on that a `LoadVideo` reads; `null` where the clip
 * also goes where its frames cannot be turned on their way.
 */
export function frameLinks(graph: Graph, { node: loader }: Slot): FrameLink[] | null {
  const takers = linksFrom(graph, loader, 0);
  const readers = takers.map(({ node }) => node);
  if (readers.some((id) => graph[id]?.class_type !== 'GetVideoComponents')) return null;
  return [...new Set(readers)].map((from) => ({ from, slots: linksFrom(graph, from, 0) }));
}

/** Of a server that does not turn clips, where the graph cannot do it either. */
export function notTurned(input: string): GatewayError {
  return new GatewayError(
    'workflow_unsupported',
    `${input} is a clip that has to be turned upright, which neither this server nor the graph can do; ComfyUI 0.21.0 or later does`,
    { field: input },
  );
}

export interface FrameLink {
  /** The node that gives the frames, as its first output. */
  readonly from: string;
  readonly slots: readonly Slot[];
}
