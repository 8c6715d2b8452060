import type { Size } from './picture-size.ts';
import type { Workflow } from './workflow.ts';

/** What the encoder of a clip takes. */
export interface ClipEncoder {
  /** Pixels of which each side is a multiple. */
  readonly step: 1 | 2;
  /** Pixels; `null` where it is not known. */
  readonly most: Size | null;
}

/** 4:2:0 has no odd sides, and an encoder that is not known is taken for one of it. */
const unknown: ClipEncoder = { step: 2, most: null };
const h264: ClipEncoder = { step: 2, most: { width: 16_384, height: 16_384 } };
const vp9: ClipEncoder = { step: 1, most: { width: 65_536, height: 65_536 } };
const av1: ClipEncoder = { step: 1, most: { width: 16_384, height: 8_704 } };

/**
 * The encoder of the main output, as ComfyUI's own nodes have it: libx264, libvpx and SVT-AV1 of
 * PyAV 18.1 were tried at these sides and beyond them. VideoHelperSuite fills odd sides up with pixels.
 */
export function clipEncoder({
  graph,
  outputs: [main],
  parameters,
}: Pick<Workflow, 'graph' | 'outputs' | 'parameters'>): ClipEncoder {
  const node = main && Object.hasOwn(graph, main.node) ? graph[main.node] : undefined;
  if (node?.class_type === 'SaveVideo') return h264;
  if (node?.class_type !== 'SaveWEBM') return unknown;
  const isChosen = parameters.some(({ slots }) =>
    slots.some((slot) => slot.node === main?.node && slot.field === 'codec'),
  );
  if (isChosen) return { step: 1, most: null };
  return node.inputs.codec === 'av1' ? av1 : vp9;
}
