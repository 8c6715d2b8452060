/** Tags of layouts (`CAFChannelLayout`), in which the last two bytes count the channels. */
const tagged: Readonly<Record<number, string>> = {
  6553601: 'mono',
  6619138: 'stereo',
  6684674: 'stereo',
  7929862: '5.1',
};

/** These stand for channels that follow: as bits (`UseChannelBitmap`), or one by one (`UseChannelDescriptions`). */
const useBits = 65_536;
const useLabels = 0;

const ofBits: Readonly<Record<number, string>> = { 3: 'stereo', 4: 'mono', 63: '5.1' };
const ofLabels: Readonly<Record<string, string>> = {
  '3': 'mono',
  '1,2': 'stereo',
  '38,39': 'stereo',
  '1,2,3,4,5,6': '5.1',
};
const mostLabels = 6;
/** A label is followed by flags and a place. */
const labelBytes = 20;

export const leastLayoutBytes = 16;

/**
 * The layout in a `chan` box, of which the content is given and what may follow it; `null` for an unusual one. Behind
 * the version come the tag, the bits, the number of labels, and these.
 */
export function quickTimeLayout(chan: Buffer): string | null {
  const tag = chan.readUInt32BE(4);
  if (tag === useBits) return ofBits[chan.readUInt32BE(8)] ?? null;
  if (tag !== useLabels) return tagged[tag] ?? null;
  const count = chan.readUInt32BE(12);
  const end = leastLayoutBytes + count * labelBytes;
  if (count > mostLabels || end > chan.length) return null;
  const labels = Array.from({ length: count }, (_, index) =>
    chan.readUInt32BE(leastLayoutBytes + index * labelBytes),
  );
  return ofLabels[labels.join()] ?? null;
}
