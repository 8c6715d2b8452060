import { type Graph, type GraphNode, isLink, type Slot } from './graph.ts';

export interface Size {
  /** Pixels. */
  readonly width: number;
  readonly height: number;
}

/** The pictures of the main input, and the node that reads them. */
export interface Source extends Size {
  readonly node: string;
}

/**
 * The size of the pictures that arrive at a slot, where it follows from the source's size and from
 * what is known of the nodes on their way; `null` where it does not.
 */
export function pictureSize(graph: Graph, slot: Slot, source: Source): Size | null {
  const { node: sourceNode, ...sourceSize } = source;
  // No node has to be passed twice, and a way with a cycle ends.
  let left = Object.keys(graph).length;
  const sizeAt = (node: GraphNode, field: string): Size | null => {
    const link = own(node.inputs, field);
    const from = isLink(link) ? own(graph, link[0]) : undefined;
    if (!isLink(link) || from === undefined || left-- === 0) return null;
    const { inputs, class_type } = from;
    if (link[0] === sourceNode) return own(loaders, class_type)?.(inputs) ? sourceSize : null;
    return own(ways, class_type)?.(inputs, (field) => sizeAt(from, field)) ?? null;
  };
  const node = own(graph, slot.node);
  return node ? sizeAt(node, slot.field) : null;
}

type Inputs = GraphNode['inputs'];

/** Whether a node that reads the source gives it on as it is. */
const loaders: Readonly<Record<string, (inputs: Inputs) => boolean>> = {
  LoadImage: () => true,
  LoadVideo: () => true,
  // With a format, or for a VAE, it makes the sides multiples of some number.
  VHS_LoadVideo: ({ custom_width, custom_height, format = 'None', vae = null }) =>
    custom_width === 0 && custom_height === 0 && format === 'None' && vae === null,
};

/** What a node makes of the sizes at its inputs. */
type Way = (inputs: Inputs, sizeAt: (field: string) => Size | null) => Size | null;

/**
 * Only what would otherwise be resized in vain: a class that is not here costs a resize to the size
 * that its pictures may have already.
 */
const ways: Readonly<Record<string, Way>> = {
  GetVideoComponents: (_, sizeAt) => sizeAt('video'),
  ImageScale: ({ width, height }) => exactly(width, height),
  SeedVR2VideoUpscaler: ({ resolution, max_resolution }, sizeAt) => {
    const size = sizeAt('image');
    return size && upscaledBySeedVr2(size, resolution, max_resolution);
  },
  ResizeImageMaskNode: (inputs, sizeAt) => {
    const size = sizeAt('input');
    if (!size) return null;
    const { width, height } = size;
    if (inputs.resize_type === 'scale shorter dimension') {
      return scaledTo(size, Math.min(width, height), inputs['resize_type.shorter_size']);
    }
    if (inputs.resize_type === 'scale longer dimension') {
      return scaledTo(size, Math.max(width, height), inputs['resize_type.longer_size']);
    }
    return null;
  },
  SeedVR2PostProcessing: (_, sizeAt) => {
    const size = sizeAt('original_resized_images');
    return size && mapSides(size, cutToEven);
  },
};

function exactly(width: unknown, height: unknown): Size | null {
  return isLength(width) && isLength(height) ? { width, height } : null;
}

/**
 * ComfyUI-SeedVR2_VideoUpscaler 2.5: torchvision resizes the shorter side to `resolution` and cuts the
 * fraction off the longer one; a second resize brings that one down to `max_resolution` (0: no
 * limit); what the model made is cut to even sides.
 */
function upscaledBySeedVr2(size: Size, resolution: unknown, limit: unknown): Size | null {
  if (!isLength(resolution) || typeof limit !== 'number') return null;
  const shorter = Math.min(size.width, size.height);
  const longer = Math.trunc((resolution * Math.max(size.width, size.height)) / shorter);
  const upscaled =
    size.width <= size.height
      ? { width: resolution, height: longer }
      : { width: longer, height: resolution };
  const isTooLong = limit > 0 && longer > limit;
  const limited = isTooLong
    ? mapSides(upscaled, (side) => roundAsPython(side * (limit / longer)))
    : upscaled;
  return mapSides(limited, cutToEven);
}

/** The side as long as asked for, the other one by the aspect ratio. */
function scaledTo({ width, height }: Size, side: number, length: unknown): Size | null {
  if (!isLength(length)) return null;
  if (height === side) return { width: roundAsPython((width / height) * length), height: length };
  return { width: length, height: roundAsPython((height / width) * length) };
}

function isLength(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value > 0;
}

/** A half goes to the even neighbour. */
function roundAsPython(value: number): number {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

function cutToEven(side: number): number {
  return side - (side % 2);
}

export function mapSides({ width, height }: Size, change: (side: number) => number): Size {
  return { width: change(width), height: change(height) };
}

/** Upright, after a turn by so many degrees. */
export function turned({ width, height }: Size, degrees: number): Size {
  return degrees % 180 === 0 ? { width, height } : { width: height, height: width };
}

export function isSameSize(one: Size, other: Size): boolean {
  return one.width === other.width && one.height === other.height;
}

/** Files name classes, fields and ids: what objects inherit is none of them. */
function own<Value>(record: Readonly<Record<string, Value>>, key: string): Value | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}
