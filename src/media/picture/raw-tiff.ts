/** Pixels in memory: 8 bit a channel, three channels, or four with alpha. */
export interface RawPicture {
  readonly width: number;
  readonly height: number;
  readonly channels: 3 | 4;
  readonly pixels: Uint8Array;
  /** From one row to the next; left out where there is nothing between them. */
  readonly rowBytes?: number;
  /** What its numbers mean; `null` for sRGB. */
  readonly icc: Uint8Array | null;
}

/** Type of a field (TIFF 6.0, section 2), and of the bytes of a profile. */
const [short, long, undefinedBytes] = [3, 4, 7];
const bytesOf: Readonly<Record<number, number>> = { [short]: 2, [long]: 4, [undefinedBytes]: 1 };
const headerBytes = 8;
const fieldBytes = 12;

type Field = readonly [tag: number, type: number, values: readonly number[] | Uint8Array];

/** The picture as a TIFF without compression: sharp takes pixels with their profile only from a file. */
export function rawTiff(picture: RawPicture): Uint8Array<ArrayBuffer> {
  const { width, height, channels, pixels, icc } = picture;
  const filledBytes = width * channels;
  const { rowBytes = filledBytes } = picture;
  const fields: Field[] = [
    [256, long, [width]],
    [257, long, [height]],
    [258, short, Array.from({ length: channels }, () => 8)],
    // No compression, RGB, and where the pixels are.
    [259, short, [1]],
    [262, short, [2]],
    [273, long, [0]],
    [277, short, [channels]],
    [278, long, [height]],
    [279, long, [filledBytes * height]],
    // Alpha that the colours were not multiplied with.
    ...(channels === 4 ? [[338, short, [2]] as const] : []),
    ...(icc ? [[34_675, undefinedBytes, icc] as const] : []),
  ];
  const tableBytes = 2 + fields.length * fieldBytes + 4;
  const outside = fields.map(([, type, { length }]) =>
    isLong(type, length) ? even(type, length) : 0,
  );
  const pixelsAt = headerBytes + tableBytes + outside.reduce((sum, bytes) => sum + bytes, 0);
  const whole = new Uint8Array(pixelsAt + filledBytes * height);
  const head = Buffer.from(whole.buffer, 0, pixelsAt);
  head.write('II*\0', 'latin1');
  head.writeUInt32LE(headerBytes, 4);
  head.writeUInt16LE(fields.length, headerBytes);
  let valuesAt = headerBytes + tableBytes;
  for (const [index, [tag, type, values]] of fields.entries()) {
    const at = headerBytes + 2 + index * fieldBytes;
    head.writeUInt16LE(tag, at);
    head.writeUInt16LE(type, at + 2);
    head.writeUInt32LE(values.length, at + 4);
    const to = isLong(type, values.length) ? valuesAt : at + 8;
    if (to === valuesAt) head.writeUInt32LE(valuesAt, at + 8);
    write(head, to, type, tag === 273 ? [pixelsAt] : values);
    valuesAt += outside[index] ?? 0;
  }
  for (let row = 0; row < height; row += 1) {
    const from = row * rowBytes;
    whole.set(pixels.subarray(from, from + filledBytes), pixelsAt + row * filledBytes);
  }
  return whole;
}

function write(to: Buffer, at: number, type: number, values: Field[2]): void {
  for (const [index, value] of values.entries()) {
    if (type === short) to.writeUInt16LE(value, at + index * 2);
    else if (type === long) to.writeUInt32LE(value, at + index * 4);
    else to.writeUInt8(value, at + index);
  }
}

/** What takes more than four bytes lies behind the table. */
function isLong(type: number, count: number): boolean {
  return count * (bytesOf[type] ?? 1) > 4;
}

function even(type: number, count: number): number {
  const bytes = count * (bytesOf[type] ?? 1);
  return bytes + (bytes % 2);
}
