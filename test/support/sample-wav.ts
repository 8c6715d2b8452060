/** A WAV of 16 bits a sample that says nothing. */
export function sampleWav({
  seconds = 0.5,
  sampleRate = 8_000,
  channels = 1,
}: {
  readonly seconds?: number;
  readonly sampleRate?: number;
  readonly channels?: number;
} = {}): Buffer {
  const bytes = Math.round(seconds * sampleRate) * channels * 2;
  const head = Buffer.alloc(44);
  head.write('RIFF', 0, 'latin1');
  head.writeUInt32LE(36 + bytes, 4);
  head.write('WAVEfmt ', 8, 'latin1');
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(channels, 22);
  head.writeUInt32LE(sampleRate, 24);
  head.writeUInt32LE(sampleRate * channels * 2, 28);
  head.writeUInt16LE(channels * 2, 32);
  head.writeUInt16LE(16, 34);
  head.write('data', 36, 'latin1');
  head.writeUInt32LE(bytes, 40);
  return Buffer.concat([head, Buffer.alloc(bytes)]);
}
