import { mayHavePixels } from './bindings/made-formats.ts';
import { type ClipEncoder, clipEncoder } from './clip-encoder.ts';
import { GatewayError } from './errors.ts';
import type { Graph, Slot } from './graph.ts';
import { type MediaInfo, type PictureInfo, pictureOf } from './media.ts';
import { isSameSize, mapSides, pictureSize, type Size, turned } from './picture-size.ts';
import type { Workflow } from './workflow.ts';

export type { Size };

/**
 * The size that a client wants. The workflow upscales; the result is then resized once if its size is
 * not the one asked for. `dims` wins over `magnification`, which wins over `outscale`.
 */
export interface SizeRequest {
  /** Times the source's size; the model's own scale too, where the graph can choose it. */
  readonly outscale: number | null;
  /** Times the source's size. */
  readonly magnification: number | null;
  readonly dims: Size | null;
}

export const sizeAsTheWorkflowGives: SizeRequest = {
  outscale: null,
  magnification: null,
  dims: null,
};

/** ComfyUI's ImageScale takes no more a side. */
export const maxSidePixels = 16_384;

/** SeedVR2 takes even lengths from here on. */
const minResolution = 16;

/** What is done so that the result has the size asked for. */
export type SizePlan =
  /** Nothing: as the graph makes it. */
  | { readonly by: 'workflow' }
  /** The graph gets another `resolution`, an ImageScale to the exact size, or both. */
  | { readonly by: 'graph'; readonly resolution: number | null; readonly resize: Size | null }
  /** The graph has no place for an ImageScale: the gateway resizes the picture while it stores it. */
  | { readonly by: 'gateway'; readonly resolution: number | null; readonly size: Size };

type Sizing = Pick<
  Workflow,
  'scale' | 'resolution' | 'inputs' | 'outputs' | 'kind' | 'graph' | 'parameters'
>;

/**
 * How the main output of the workflow gets the size asked for. Where its size without a resize is
 * known and the same, there is none. A clip with pixels of another shape gets the shape that a player
 * shows, and sides that its encoder takes, whether or not a size was asked for.
 *
 * @param input The main input; `null` for a workflow without inputs.
 * @throws GatewayError `media_too_large` when a side would pass what an ImageScale or the encoder takes;
 *   `invalid_request` for a size that this workflow cannot give.
 */
export function planSize(
  input: MediaInfo | null,
  workflow: Sizing,
  request: SizeRequest,
): SizePlan {
  const source = pictureOf(input);
  const wanted = wantedSize(source, request, workflow);
  const encoder = writesClips(workflow) ? clipEncoder(workflow) : null;
  if (wanted === null) return asShown(source, workflow, encoder);
  const size = mapSides(wanted, encoder?.step === 2 ? toEven : toWhole);
  refuseUnencodable(size, encoder);
  const resolution = workflow.resolution && resolutionFor(source, size, request.outscale);
  const made = sizeMade(source, workflow, resolution);
  if (made && isSameSize(made, size)) {
    return resolution === null ? { by: 'workflow' } : { by: 'graph', resolution, resize: null };
  }
  // What an ImageScale takes is what our own resize takes as well.
  refuseTooLarge(size);
  if (picturesOf(workflow)) return { by: 'graph', resolution, resize: size };
  if (makesPixels(workflow)) return { by: 'gateway', resolution, size };
  const isClip = outputKind(workflow) === 'video';
  throw isClip ? leaveOut('gives its videos the size that it chooses') : sizeless();
}

/**
 * What can be told before the files are there, of a workflow that takes no picture whose size counts.
 *
 * @throws GatewayError as {@link planSize}.
 */
export function checkSize(workflow: Sizing, request: SizeRequest): void {
  if (workflow.inputs.every(({ kind }) => kind === 'audio')) planSize(null, workflow, request);
}

/** The size of the main output by such a plan; `null` where it is not known. */
export function plannedSize(
  input: MediaInfo | null,
  workflow: Sizing,
  plan: SizePlan,
): Size | null {
  const source = pictureOf(input);
  if (plan.by === 'gateway') return plan.size;
  if (plan.by === 'workflow') return sizeMade(source, workflow, null);
  return plan.resize ?? sizeMade(source, workflow, plan.resolution);
}

function wantedSize(source: Size | null, request: SizeRequest, workflow: Sizing): Size | null {
  if (request.dims) return request.dims;
  const factor = request.magnification ?? request.outscale;
  if (factor === null) return null;
  if (source) return mapSides(source, (side) => side * factor);
  if (outputKind(workflow) !== 'video' && !makesPixels(workflow)) throw sizeless();
  throw new GatewayError(
    'invalid_request',
    'This workflow has no input whose size could be multiplied; ask for exact dimensions',
  );
}

/**
 * The size that the workflow gives, in the shape that a player shows: an odd side that nobody asked for
 * must not make an encoder fail, and pixels of a result are square.
 */
function asShown(
  source: PictureInfo | null,
  workflow: Sizing,
  encoder: ClipEncoder | null,
): SizePlan {
  const made = sizeMade(source, workflow, null);
  if (!source || !made || !encoder) return { by: 'workflow' };
  const read = readSize(source);
  const shown = {
    width: made.width * (source.width / read.width),
    height: made.height * (source.height / read.height),
  };
  const size = mapSides(shown, encoder.step === 2 ? toEven : toWhole);
  refuseUnencodable(size, encoder);
  if (isSameSize(made, size) || !picturesOf(workflow)) return { by: 'workflow' };
  refuseTooLarge(size);
  return { by: 'graph', resolution: null, resize: size };
}

/** The size of the pictures that a server reads: of a clip, the stored one, upright. */
function readSize(source: PictureInfo): Size {
  if (source.kind === 'image' || !source.stored) return source;
  return turned(source.stored, source.rotation ?? 0);
}

/**
 * The length of the shorter side that the model shall make: of the size wanted, or by `outscale` where
 * that asks for the model's scale and something else for the size. Rounded up, so that the resize after
 * it makes nothing larger.
 */
function resolutionFor(source: Size | null, size: Size, outscale: number | null): number {
  const upscaled = source && outscale ? mapSides(source, (side) => side * outscale) : size;
  refuseTooLarge(mapSides(upscaled, toWhole));
  const shorter = Math.ceil(Math.min(upscaled.width, upscaled.height));
  return Math.max(minResolution, shorter + (shorter % 2));
}

/** The size of the main output without a resize, as far as it is known. */
function sizeMade(
  source: PictureInfo | null,
  workflow: Sizing,
  resolution: number | null,
): Size | null {
  if (!source) return null;
  const read = readSize(source);
  if (resolution === null && workflow.scale !== null) {
    const { scale } = workflow;
    const made = mapSides(read, (side) => side * scale);
    // How a model rounds is not known.
    return Number.isInteger(made.width) && Number.isInteger(made.height) ? made : null;
  }
  const pictures = picturesOf(workflow);
  const [input] = workflow.inputs;
  if (!pictures || !input) return null;
  const from = { node: input.slot.node, width: read.width, height: read.height };
  return pictureSize(knownGraph(workflow, resolution), pictures, from);
}

/** The graph without the values that a task may choose, so that no size is told from them. */
function knownGraph({ graph, parameters, resolution }: Sizing, length: number | null): Graph {
  const known = new Map(Object.entries(graph));
  const set = ({ node: id, field }: Slot, value: unknown) => {
    const node = known.get(id);
    if (node) known.set(id, { ...node, inputs: { ...node.inputs, [field]: value } });
  };
  for (const { slots } of parameters) for (const slot of slots) set(slot, undefined);
  if (resolution && length !== null) set(resolution, length);
  return Object.fromEntries(known);
}

function picturesOf({ outputs: [main] }: Sizing): Slot | null {
  return main?.pictures ?? null;
}

/** A writer of clips that is told to write a GIF or single pictures takes the same frames. */
function writesClips(workflow: Sizing): boolean {
  const main = workflow.outputs[0]?.node ?? '';
  const isTold = workflow.graph[main]?.class_type === 'VHS_VideoCombine';
  return outputKind(workflow) === 'video' || isTold;
}

function outputKind({ kind, outputs: [main] }: Sizing): Workflow['kind'] {
  return main?.kind ?? kind;
}

/** Whether its main output is a picture that has a size in pixels. */
function makesPixels(workflow: Sizing): boolean {
  const main = workflow.outputs[0]?.node ?? '';
  return outputKind(workflow) === 'image' && mayHavePixels(workflow.graph[main]);
}

function sizeless(): GatewayError {
  return leaveOut('makes nothing that has a size in pixels');
}

function leaveOut(why: string): GatewayError {
  return new GatewayError('invalid_request', `This workflow ${why}; leave the size out`);
}

function refuseTooLarge({ width, height }: Size): void {
  if (Math.max(width, height) <= maxSidePixels) return;
  throw new GatewayError(
    'media_too_large',
    `The result would measure ${width}x${height} pixels; ${maxSidePixels} a side is the most`,
  );
}

function refuseUnencodable({ width, height }: Size, encoder: ClipEncoder | null): void {
  const most = encoder?.most;
  if (!most || (width <= most.width && height <= most.height)) return;
  throw new GatewayError(
    'media_too_large',
    `The result would measure ${width}x${height} pixels; its encoder takes ${most.width}x${most.height} at most`,
  );
}

function toWhole(side: number): number {
  return Math.max(1, Math.round(side));
}

function toEven(side: number): number {
  return Math.max(2, Math.round(side / 2) * 2);
}
