import type { VideoColor } from '../../core/media.ts';

/** Of ITU-T H.273, by the names of WebCodecs. */
const primaries: Numbers = { bt709: 1, bt470bg: 5, smpte170m: 6, bt2020: 9, smpte432: 12 };
const transfers: Numbers = {
  bt709: 1,
  smpte170m: 6,
  linear: 8,
  'iec61966-2-1': 13,
  pq: 16,
  hlg: 18,
};
const matrices: Numbers = { rgb: 0, bt709: 1, bt470bg: 5, smpte170m: 6, 'bt2020-ncl': 9 };

type Numbers = Readonly<Record<string, number>>;

const unspecified = 2;

/** What the colours of a track are said to be; `undefined`: nothing is said of them. */
export function videoColor(space: VideoColorSpaceInit): VideoColor | undefined {
  const color = {
    primaries: primaries[space.primaries ?? ''] ?? unspecified,
    transfer: transfers[space.transfer ?? ''] ?? unspecified,
    matrix: matrices[space.matrix ?? ''] ?? unspecified,
    isFullRange: space.fullRange ?? false,
  };
  const { isFullRange, ...codes } = color;
  const isSilent = Object.values(codes).every((code) => code === unspecified);
  return isSilent && !isFullRange ? undefined : color;
}

/** Whether the light is coded as PQ or HLG (ITU-R BT.2100). */
export function isHdr(color: VideoColor | undefined): boolean {
  return color?.transfer === transfers.pq || color?.transfer === transfers.hlg;
}
