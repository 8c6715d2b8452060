import type { Graph } from './graph.ts';

/**
 * Whether a server that is given the graph queues it again by itself, under ids of its own, until a clip
 * has been worked on in batches: VideoHelperSuite's Meta Batch.
 */
export function queuesItself(graph: Graph): boolean {
  return Object.values(graph).some(({ class_type }) => class_type === 'VHS_BatchManager');
}
