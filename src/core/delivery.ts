import { mayHavePixels } from './bindings/made-formats.ts';
import { invalidField } from './errors.ts';
import type { Workflow } from './workflow.ts';

/** What pictures can be encoded as on their way to the store. */
export const encodedFormats = ['png', 'jpg', 'webp', 'avif'] as const;
export type EncodedFormat = (typeof encodedFormats)[number];

/** How a task's results are handed over. */
export interface Delivery {
  /** What pictures are encoded as; `null` leaves them as the workflow writes them. */
  readonly format: EncodedFormat | null;
  /** 1 to 100, for formats that lose something; `null` as the encoder does it. */
  readonly quality: number | null;
  /** Whether what ComfyUI writes into files, the whole graph, stays in them. */
  readonly keepsMetadata: boolean;
  /** Where the main result goes in place of the object store: an address that takes one PUT. */
  readonly putUrl: string | null;
  /** How long results are kept after the task has completed, milliseconds; as others where it is left out. */
  readonly keepMs?: number;
}

export const deliveryAsUsual: Delivery = {
  format: null,
  quality: null,
  keepsMetadata: false,
  putUrl: null,
};

const formatOfType: Readonly<Record<string, EncodedFormat>> = {
  'image/jpeg': 'jpg',
  'image/webp': 'webp',
};
/** Whoever makes a picture better does not want to see its encoder's traces. */
const lossyQuality = 95;

/** As a picture of this type is stored: photos stay photos, and all that would lose by it becomes PNG. */
export function formatLike(contentType: string): EncodedFormat {
  return formatOfType[contentType] ?? 'png';
}

/** Pictures in this format, with its best quality that is worth its bytes. */
export function deliveryAs(format: EncodedFormat): Delivery {
  return { ...deliveryAsUsual, format, quality: format === 'png' ? null : lossyQuality };
}

/** @throws GatewayError `invalid_request` for a form that the workflow's results cannot have. */
export function checkDelivery(
  { format, quality }: Delivery,
  { name, outputs, graph }: Pick<Workflow, 'name' | 'outputs' | 'graph'>,
): void {
  const pictures = outputs.filter(({ kind }) => kind === 'image');
  if (format !== null && !pictures.some(({ node }) => mayHavePixels(graph[node]))) {
    throw invalidField('format', `is for images of pixels, and the workflow ${name} makes none`);
  }
  if (quality !== null && (format === null || format === 'png')) {
    throw invalidField('quality', 'goes with the format jpg, webp or avif');
  }
}
