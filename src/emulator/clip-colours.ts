/**
 * Red, green and blue of a clip whose matrix is another one than BT.601, for which the codecs' own conversion takes
 * every clip. PyAV reads the matrix from version 17.0 on.
 */
import type { VideoSample } from 'mediabunny';

/** Kr and Kb (ITU-T H.273 table 4). */
const weights: Readonly<Record<string, readonly [red: number, blue: number]>> = {
  bt709: [0.2126, 0.0722],
  'bt2020-ncl': [0.2627, 0.0593],
};
const bitsOf: Readonly<Record<string, number>> = { I420: 8, I420P10: 10 };

/** `null` for a clip of BT.601, and for a form of samples that is not known here. */
export async function colouredRgb(sample: VideoSample): Promise<Uint8Array | null> {
  const { matrix, fullRange } = sample.colorSpace;
  const weight = weights[matrix ?? ''];
  const bits = bitsOf[sample.format ?? ''];
  if (!weight || !bits) return null;
  const bytes = new Uint8Array(sample.allocationSize());
  const layout = await sample.copyTo(bytes);
  const planes = layout.map(({ offset, stride }) => ({ at: offset, stride }));
  const view = new DataView(bytes.buffer);
  const valueAt = (plane: number, x: number, y: number) => {
    const { at, stride } = planes[plane] as { at: number; stride: number };
    return bits === 8
      ? view.getUint8(at + y * stride + x)
      : view.getUint16(at + y * stride + x * 2, true);
  };
  const { width, height } = sample.visibleRect;
  const [red, blue] = weight;
  const scale = 2 ** (bits - 8);
  const [black, lumaRange, chromaRange] = fullRange ? [0, 255, 255] : [16, 219, 224];
  const rgb = new Uint8ClampedArray(width * height * 3);
  for (let y = 0, to = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, to += 3) {
      const luma = (valueAt(0, x, y) / scale - black) / lumaRange;
      const cb = (valueAt(1, x >> 1, y >> 1) / scale - 128) / chromaRange;
      const cr = (valueAt(2, x >> 1, y >> 1) / scale - 128) / chromaRange;
      const r = luma + 2 * (1 - red) * cr;
      const b = luma + 2 * (1 - blue) * cb;
      rgb[to] = r * 255;
      rgb[to + 1] = ((luma - red * r - blue * b) / (1 - red - blue)) * 255;
      rgb[to + 2] = b * 255;
    }
  }
  return new Uint8Array(rgb.buffer);
}
