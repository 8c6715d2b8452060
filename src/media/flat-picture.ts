import sharp from 'sharp';

/** What a small WebP makes of one colour: up to six steps were measured (libwebp, quality 75). */
const tolerance = 8;

/** Whether the picture has one colour throughout; it should be a small one. */
export async function isFlat(picture: Uint8Array): Promise<boolean> {
  const { channels } = await sharp(picture).stats();
  return channels.every(({ min, max }) => max - min <= tolerance);
}
