import { type Graph, linksFrom, type Slot } from './graph.ts';
import type { Workflow } from './workflow.ts';

/** What a graph makes of a clip that one of its nodes reads. */
export interface ClipUse {
  /** ComfyUI's own `LoadVideo`, or a loader of VideoHelperSuite. */
  readonly reader: 'comfyui' | 'vhs';
  /** Whether the clip is taken apart, and not only copied. */
  readonly isDecoded: boolean;
  /** Where its sound arrives at nodes that do without. */
  readonly sound: readonly Slot[];
  /** Whether its sound goes another way as well, and cannot be left out. */
  readonly needsSound: boolean;
}

/** The nodes of VideoHelperSuite that read a clip; all give its sound as their third output. */
const vhsLoaders = new Set(['VHS_LoadVideo', 'VHS_LoadVideoFFmpeg']);
const vhsSound = 2;

/** By class, the input for sound that may be left open. */
const optionalSound: Readonly<Record<string, string>> = {
  CreateVideo: 'audio',
  VHS_VideoCombine: 'audio',
};

/** `null` for a reader of which nothing is known. */
export function clipUse(
  { graph, parameters }: Pick<Workflow, 'graph' | 'parameters'>,
  { node }: Slot,
): ClipUse | null {
  const loader = graph[node]?.class_type ?? '';
  if (vhsLoaders.has(loader)) {
    return {
      reader: 'vhs',
      isDecoded: true,
      ...soundWays(graph, linksFrom(graph, node, vhsSound)),
    };
  }
  if (loader !== 'LoadVideo') return null;
  const takers = linksFrom(graph, node, 0)
    .map((taker) => taker.node)
    .filter((taker) => !copies(graph, parameters, taker));
  const apart = takers.filter((taker) => graph[taker]?.class_type === 'GetVideoComponents');
  const ways = soundWays(
    graph,
    apart.flatMap((taker) => linksFrom(graph, taker, 1)),
  );
  // Whoever takes the whole clip may encode its sound.
  const needsSound = ways.needsSound || apart.length < takers.length;
  return { reader: 'comfyui', isDecoded: takers.length > 0, sound: ways.sound, needsSound };
}

function soundWays(graph: Graph, slots: readonly Slot[]): Pick<ClipUse, 'sound' | 'needsSound'> {
  const sound = slots.filter(({ node, field }) => {
    const taker = graph[node]?.class_type ?? '';
    return Object.hasOwn(optionalSound, taker) && optionalSound[taker] === field;
  });
  return { sound, needsSound: sound.length < slots.length };
}

/** What makes `SaveVideo` encode a clip that it could copy. */
const encodes = ['crf', 'bit_depth', 'color_space'];

/** Whether the node writes the clip's own streams, whatever a task chooses. */
function copies(graph: Graph, parameters: Workflow['parameters'], id: string): boolean {
  const node = graph[id];
  if (node?.class_type !== 'SaveVideo') return false;
  const { format = 'auto', codec = 'auto', ...others } = node.inputs;
  const isChosen = parameters.some(({ slots }) =>
    slots.some((slot) => slot.node === id && slot.field !== 'filename_prefix'),
  );
  const isAsked = Object.keys(others).some((field) => encodes.includes(field.replace(/.*\./s, '')));
  return !isChosen && !isAsked && format === 'auto' && codec === 'auto';
}
