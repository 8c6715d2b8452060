import { createHash } from 'node:crypto';
import { sharp } from '../libvips.ts';
import { rawTiff } from './raw-tiff.ts';

/** What nobody sees, of 255. */
const unseen = 2;
const steps = [0, 32, 64, 128, 192, 255];
const colours = Buffer.from(
  steps.flatMap((red) => steps.flatMap((green) => steps.flatMap((blue) => [red, green, blue]))),
);
/** A camera writes the same profile into each picture. */
const mostKnown = 100;
const known = new Map<string, Promise<boolean>>();

/** Whether colours by this profile are those of sRGB: a few are tried, as profiles go by many names. */
export async function isSrgb(icc: Uint8Array): Promise<boolean> {
  const key = createHash('sha256').update(icc).digest('hex');
  const answer = known.get(key) ?? tryOut(icc);
  if (known.size >= mostKnown) known.clear();
  known.set(key, answer);
  return await answer;
}

async function tryOut(icc: Uint8Array): Promise<boolean> {
  const width = colours.length / 3;
  const tried = rawTiff({ width, height: 1, channels: 3, pixels: colours, icc });
  const shown = await sharp(tried).raw().toBuffer();
  return shown.every((value, at) => Math.abs(value - (colours[at] ?? 0)) <= unseen);
}
