/**
 * A decoded frame's colours by the matrix that its clip tells. What decodes for us takes BT.601 for
 * all; ComfyUI does so only where the clip tells nothing.
 */
import type { VideoSample } from 'mediabunny';

/** The weights of red and of blue in the brightness (ITU-T H.273, table 4). */
const weights: Readonly<Record<string, readonly [red: number, blue: number]>> = {
  bt709: [0.2126, 0.0722],
  'bt2020-ncl': [0.2627, 0.0593],
  bt470bg: [0.299, 0.114],
  smpte170m: [0.299, 0.114],
};
const untagged = ['bt470bg', 'smpte170m'];

const layouts: Readonly<Record<string, readonly [across: number, down: number]>> = {
  I420: [2, 2],
  I422: [2, 1],
  I444: [1, 1],
};

/** `null` where BT.601 is right, or the frame is of a kind that this does not know. */
export async function toTaggedRgb(sample: VideoSample): Promise<Uint8Array | null> {
  const matrix = sample.colorSpace.matrix ?? null;
  return matrix === null || untagged.includes(matrix) ? null : toRgbBy(matrix, sample);
}

/** `null` where the matrix or the kind of frame is none that this knows. */
export async function toRgbBy(matrix: string, sample: VideoSample): Promise<Uint8Array | null> {
  const weight = weights[matrix];
  const [name = '', depth] = (sample.format ?? '').split('P');
  const layout = layouts[name];
  if (weight === undefined || layout === undefined) return null;
  const bits = depth === undefined ? 8 : Number(depth);
  const bytes = new Uint8Array(sample.allocationSize());
  await sample.copyTo(bytes);
  const samples = bits === 8 ? bytes : new Uint16Array(bytes.buffer);
  const { width, height } = sample.visibleRect;
  const isFullRange = sample.colorSpace.fullRange === true;
  return toRgb(samples, { width, height, layout, weight, bits, isFullRange });
}

interface Planes {
  readonly width: number;
  readonly height: number;
  readonly layout: readonly [across: number, down: number];
  readonly weight: readonly [red: number, blue: number];
  readonly bits: number;
  readonly isFullRange: boolean;
}

function toRgb(
  samples: Uint8Array | Uint16Array,
  { width, height, layout: [across, down], weight: [red, blue], bits, isFullRange }: Planes,
): Uint8Array {
  const stride = Math.ceil(width / across);
  const uAt = width * height;
  const vAt = uAt + stride * Math.ceil(height / down);
  const unit = 2 ** (bits - 8);
  const [black, lightRange, colourRange] = isFullRange ? [0, 255, 255] : [16, 219, 224];
  const rgb = new Uint8ClampedArray(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const chroma = Math.floor(y / down) * stride + Math.floor(x / across);
      const light = ((samples[y * width + x] ?? 0) / unit - black) / lightRange;
      const toBlue = ((samples[uAt + chroma] ?? 0) / unit - 128) / colourRange;
      const toRed = ((samples[vAt + chroma] ?? 0) / unit - 128) / colourRange;
      const r = light + 2 * (1 - red) * toRed;
      const b = light + 2 * (1 - blue) * toBlue;
      const g = (light - red * r - blue * b) / (1 - red - blue);
      const to = (y * width + x) * 3;
      rgb[to] = r * 255;
      rgb[to + 1] = g * 255;
      rgb[to + 2] = b * 255;
    }
  }
  return new Uint8Array(rgb.buffer);
}
