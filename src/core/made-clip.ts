import { type Graph, isLink } from './graph.ts';
import type { MediaInfo, VideoInfo } from './media.ts';
import type { Workflow, WorkflowOutput } from './workflow.ts';

/** What is known of a clip before a server makes it. */
export interface ClipPlan {
  /** `null` where that is not known. */
  readonly frames: number | null;
  /** Of a clip whose writer tells nothing of its colours; `null` where it is not known, or told. */
  readonly colour: MadeColour | null;
}

/** Numbers of ITU-T H.273. */
export interface ColourTag {
  readonly primaries: number;
  readonly transfer: number;
  readonly matrix: number;
}

/** What is true of the samples, as the server reads its source. */
export interface MadeColour {
  /** By the matrix that the source names: PyAV from 17.0 on. */
  readonly ifMatrixIsRead: ColourTag;
  /** As if all were BT.601: the samples come out as they went in. */
  readonly ifMatrixIsIgnored: ColourTag;
}

/** How a clip begins that was made, and how much of it there is. */
export interface ClipStart {
  /** Whether its first picture can be shown without any other; `null` where that cannot be told. */
  readonly isKey: boolean | null;
  /** Frames that are stored; `null` where no table counts them. */
  readonly frames: number | null;
}

const unspecified = 2;
const bt709 = 1;
const bt601 = 6;
/** From so many lines on players take H.264 for BT.709 where it does not tell (Chromium 153, measured). */
const hdLines = 720;

/** Nodes that write a clip by BT.601 and do not say so (ComfyUI 0.3.64 to 0.33.0). */
const silentWriters: ReadonlySet<string> = new Set(['SaveVideo', 'SaveWEBM']);

/** Nodes that give on every frame that they get, and the field where those arrive. */
const frameWays: Readonly<Record<string, string>> = {
  GetVideoComponents: 'video',
  ImageScale: 'image',
  ImageScaleBy: 'image',
  ImageScaleToTotalPixels: 'image',
  ImageUpscaleWithModel: 'image',
  ResizeImageMaskNode: 'input',
  SeedVR2VideoUpscaler: 'image',
  SeedVR2PostProcessing: 'original_resized_images',
};

type Planned = Pick<Workflow, 'graph' | 'inputs'>;
type Made = Pick<WorkflowOutput, 'node' | 'pictures'>;

/** Of a clip that is not made of pictures, but passed on or written by somebody else's node, nothing is known. */
export function planClip(input: MediaInfo | null, workflow: Planned, output: Made): ClipPlan {
  const { graph, inputs } = workflow;
  const writer = classOf(graph, output.node);
  if (writer === null || !silentWriters.has(writer) || output.pictures === null) {
    return { frames: null, colour: null };
  }
  const [main] = inputs;
  const loader = main ? classOf(graph, main.slot.node) : null;
  if (input?.kind !== 'video') return { frames: null, colour: both(ofPictures) };
  if (!main || loader !== 'LoadVideo') return { frames: null, colour: null };
  const isPassedOn = passesFramesOn(graph, output.pictures, main.slot.node);
  return { frames: isPassedOn ? input.frames : null, colour: colourFrom(input, isPassedOn) };
}

const ofPictures: ColourTag = { primaries: bt709, transfer: bt709, matrix: bt601 };

/**
 * What is written is Y'CbCr by BT.601 of the R'G'B' that was read; whose primaries and transfer function it has,
 * no node asks. A source that does not tell is read by BT.601, too, so that its samples go through: they are
 * what players take the source for.
 */
function colourFrom({ color, ...source }: VideoInfo, isPassedOn: boolean): MadeColour {
  if (!color || color.matrix === unspecified) {
    return both({ ...ofPictures, matrix: isTakenForHd(source) ? bt709 : bt601 });
  }
  const { primaries, transfer, matrix } = color;
  // Nodes that nobody knows may have made others of them, such as one that maps tones.
  const kept = isPassedOn
    ? { primaries: specified(primaries), transfer: specified(transfer) }
    : { primaries: bt709, transfer: bt709 };
  return {
    ifMatrixIsRead: { ...kept, matrix: bt601 },
    ifMatrixIsIgnored: { ...kept, matrix },
  };
}

/** Chromium takes VP9 and AV1 that do not tell for BT.601, whatever their size. */
function isTakenForHd({ codec, stored, height }: Omit<VideoInfo, 'color'>): boolean {
  const guesses = codec !== 'vp8' && codec !== 'vp9' && codec !== 'av1';
  return guesses && (stored?.height ?? height) >= hdLines;
}

/** A tag with a part that says nothing is no tag to a browser. */
function specified(value: number): number {
  return value === unspecified ? bt709 : value;
}

function both(tag: ColourTag): MadeColour {
  return { ifMatrixIsRead: tag, ifMatrixIsIgnored: tag };
}

/** Whether each frame of the source, and none besides, arrives at the slot. */
function passesFramesOn(
  graph: Graph,
  slot: { readonly node: string; readonly field: string },
  source: string,
): boolean {
  let { node, field } = slot;
  // A way with a cycle ends.
  for (let left = Object.keys(graph).length; left > 0; left -= 1) {
    const link = Object.hasOwn(graph, node) ? graph[node]?.inputs[field] : undefined;
    if (!isLink(link)) return false;
    if (link[0] === source) return true;
    const from = classOf(graph, link[0]);
    if (from === null || !Object.hasOwn(frameWays, from)) return false;
    node = link[0];
    field = frameWays[from] as string;
  }
  return false;
}

function classOf(graph: Graph, node: string): string | null {
  return Object.hasOwn(graph, node) ? (graph[node]?.class_type ?? null) : null;
}

/** The frames of a source are counted up to here, and follow from its rate and its duration beyond. */
const countedFrames = 1_000;
/** By which share of the frames that may be wrong. */
const estimateError = 0.02;

/**
 * Why a clip cannot be shown as it was planned; `null` for one that can. `about`: frames as its probe tells them.
 */
export function clipFault(
  plan: ClipPlan,
  { isKey, frames: stored }: ClipStart,
  about: number | null,
): string | null {
  if (isKey === false) {
    return 'The clip that the workflow made begins in the middle, and players show nothing of it';
  }
  const { frames: planned } = plan;
  const made = stored ?? about;
  if (planned === null || made === null) return null;
  const isCounted = stored !== null && planned < countedFrames;
  const missing = planned - made;
  if (missing <= (isCounted ? 0 : Math.max(1, Math.ceil(planned * estimateError)))) return null;
  return `The clip that the workflow made has ${made} frames; its source has ${planned}`;
}
