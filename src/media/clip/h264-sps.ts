import type { Size } from '../../core/picture-size.ts';

/** What a sequence parameter set says of its pictures (ITU-T H.264 §7.3.2.1.1). */
export interface H264Sps {
  readonly bitDepth: number;
  /** Whether every picture is a whole frame, and no field. */
  readonly isProgressive: boolean;
  readonly size: Size;
}

/** Profiles whose sets tell of colours and bits. */
const highProfiles = new Set([100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135]);

/** The first set of an `avcC` or, in a stream without one, of the first packet; `null`: there is none. */
export function findSps(
  avcC: Uint8Array | null,
  packet: Uint8Array = new Uint8Array(0),
): Uint8Array | null {
  if (avcC) {
    const isThere = avcC.length > 8 && ((avcC[5] ?? 0) & 0x1f) > 0;
    const length = ((avcC[6] ?? 0) << 8) | (avcC[7] ?? 0);
    return isThere ? avcC.subarray(8, 8 + length) : null;
  }
  for (let at = 0; at + 3 < packet.length; at += 1) {
    const isStart = packet[at] === 0 && packet[at + 1] === 0 && packet[at + 2] === 1;
    if (isStart && ((packet[at + 3] ?? 0) & 0x1f) === 7) return packet.subarray(at + 3, at + 259);
  }
  return null;
}

/** `null` for one that is cut off. */
export function readSps(unit: Uint8Array): H264Sps | null {
  const bits = new Bits(withoutEmulation(unit).subarray(1));
  const profile = bits.read(8);
  bits.read(16);
  bits.golomb();
  let bitDepth = 8;
  let chroma = 1;
  if (highProfiles.has(profile)) {
    chroma = bits.golomb();
    if (chroma === 3) bits.read(1);
    bitDepth = 8 + bits.golomb();
    bits.golomb();
    bits.read(1);
    if (bits.read(1) === 1) skipScalingLists(bits, chroma === 3 ? 12 : 8);
  }
  bits.golomb();
  const order = bits.golomb();
  if (order === 0) bits.golomb();
  if (order === 1) skipOrder(bits);
  bits.golomb();
  bits.read(1);
  const widthInBlocks = bits.golomb() + 1;
  const heightInUnits = bits.golomb() + 1;
  const isProgressive = bits.read(1) === 1;
  if (!isProgressive) bits.read(1);
  bits.read(1);
  // A unit is a row of blocks, of each field where there are two.
  const fields = isProgressive ? 1 : 2;
  const [cutX, cutY] = readCuts(bits, [1, 2].includes(chroma) ? 2 : 1, chroma === 1 ? 2 : 1);
  const size = {
    width: widthInBlocks * 16 - cutX,
    height: heightInUnits * 16 * fields - cutY * fields,
  };
  const isSane = bitDepth <= 14 && size.width > 0 && size.height > 0;
  return bits.isPast || !isSane ? null : { bitDepth, isProgressive, size };
}

/** Pixels that are not shown, in sum: they are told in samples of colour. */
function readCuts(bits: Bits, pixelsX: number, pixelsY: number): [x: number, y: number] {
  if (bits.read(1) === 0) return [0, 0];
  const [left, right, top, bottom] = [bits.golomb(), bits.golomb(), bits.golomb(), bits.golomb()];
  return [(left + right) * pixelsX, (top + bottom) * pixelsY];
}

function skipOrder(bits: Bits): void {
  bits.read(1);
  bits.golomb();
  bits.golomb();
  for (let left = Math.min(bits.golomb(), 255); left > 0; left -= 1) bits.golomb();
}

function skipScalingLists(bits: Bits, lists: number): void {
  for (let list = 0; list < lists; list += 1) {
    if (bits.read(1) === 0) continue;
    let last = 8;
    let next = 8;
    for (let left = list < 6 ? 16 : 64; left > 0 && next !== 0; left -= 1) {
      const code = bits.golomb();
      const delta = code % 2 === 1 ? (code + 1) / 2 : -code / 2;
      next = (last + delta + 256) % 256;
      last = next === 0 ? last : next;
    }
  }
}

/** A 3 after two zeros only keeps them from looking like the start of a unit. */
function withoutEmulation(unit: Uint8Array): Uint8Array {
  return unit.filter(
    (byte, at) => !(byte === 3 && at > 1 && unit[at - 1] === 0 && unit[at - 2] === 0),
  );
}

class Bits {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isPast(): boolean {
    return this.#at > this.#bytes.length * 8;
  }

  /** Zeros behind the end. */
  read(count: number): number {
    let value = 0;
    for (let left = count; left > 0; left -= 1) {
      const byte = this.#bytes[this.#at >> 3] ?? 0;
      value = value * 2 + ((byte >> (7 - (this.#at & 7))) & 1);
      this.#at += 1;
    }
    return value;
  }

  golomb(): number {
    let zeros = 0;
    while (zeros < 32 && !this.isPast && this.read(1) === 0) zeros += 1;
    return 2 ** zeros - 1 + this.read(zeros);
  }
}
