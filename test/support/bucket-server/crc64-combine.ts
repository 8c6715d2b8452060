const polynomial = 0xc96c5795d7870f42n;
const one = 1n << 63n;

/** x^(2^n) modulo the polynomial, in the order of bits that CRC-64/XZ has. */
const powers = [one >> 1n];
while (powers.length < 64) {
  const last = powers.at(-1) ?? one;
  powers.push(times(last, last));
}

/** The checksum of two runs of bytes, one after the other, from theirs. */
export function combineCrc64(first: string, second: string, secondBytes: number): string {
  let shift = one;
  for (let bits = BigInt(secondBytes) * 8n, power = 0; bits > 0n; bits >>= 1n, power += 1) {
    if (bits & 1n) shift = times(shift, powers[power] ?? one);
  }
  return (times(shift, BigInt(first)) ^ BigInt(second)).toString();
}

function times(a: bigint, b: bigint): bigint {
  let product = 0n;
  let shifted = b;
  for (let bit = one; bit > 0n; bit >>= 1n) {
    if (a & bit) product ^= shifted;
    shifted = shifted & 1n ? (shifted >> 1n) ^ polynomial : shifted >> 1n;
  }
  return product;
}
