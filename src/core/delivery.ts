import type { ImageFormat } from './media.ts';

/** How a task's results are handed over. */
export interface Delivery {
  /** What pictures are encoded as; `null` leaves them as the workflow writes them. */
  readonly format: ImageFormat | null;
  /** 1 to 100, for formats that lose something; `null` as the encoder does it. */
  readonly quality: number | null;
  /** Whether what ComfyUI writes into files, the whole graph, stays in them. */
  readonly keepsMetadata: boolean;
  /** Where the main result goes in place of the object store: an address that takes one PUT. */
  readonly putUrl: string | null;
}

export const deliveryAsUsual: Delivery = {
  format: null,
  quality: null,
  keepsMetadata: false,
  putUrl: null,
};
