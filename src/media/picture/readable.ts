import { sharp } from '../libvips.ts';
import { readHeifFacts } from '../metadata/find-edits.ts';
import { fileReader } from '../range-reader.ts';
import { cannotRead } from './faults.ts';
import { heicAsTiff } from './heic.ts';
import { type Picture, upright } from './open-picture.ts';
import { imageOf, type Opened } from './pixels.ts';
import { rawTiff } from './raw-tiff.ts';

/** As H.273 counts them: the primaries of Display P3, and the curves of HDR. */
const displayP3 = 12;
const hdrTransfers = [16, 18];

/**
 * The picture as sharp sees in it what a person does. Where that is not the file itself, it is a TIFF in
 * memory.
 *
 * @throws GatewayError `media_unsupported`; Error with libheif's words; the signal's reason.
 */
export async function readable(
  picture: Picture,
  opened: Opened,
  signal: AbortSignal,
): Promise<Opened> {
  const { path, format, header } = picture;
  const { hasAlpha } = header;
  if (format === 'heic') {
    const icc = await heifProfile(picture, signal);
    const input = await heicAsTiff({ path, hasAlpha, icc }, signal);
    return { ...opened, input };
  }
  if (format === 'avif' && !header.icc) {
    const icc = await heifProfile(picture, signal);
    return icc ? { ...opened, input: await withProfile(opened, icc) } : opened;
  }
  const isBareCmyk = header.space === 'cmyk' && !header.icc;
  return isBareCmyk ? { ...opened, input: await inksOnWhite(picture, opened) } : opened;
}

/** The profile that the file has, or that it names by a number. */
async function heifProfile({ path, header }: Picture, signal: AbortSignal): Promise<Buffer | null> {
  await using reader = await fileReader(path);
  const { primaries, transfer } = await readHeifFacts(reader, signal);
  if (header.icc) return header.icc;
  if (hdrTransfers.includes(transfer)) {
    throw cannotRead('its colours are HDR, which has to be brought to the range of a screen first');
  }
  return primaries === displayP3 ? await p3Profile() : null;
}

/** The one that comes with libvips. */
async function p3Profile(): Promise<Buffer | null> {
  const pixel = sharp({ create: { width: 1, height: 1, channels: 3, background: 'white' } });
  const tagged = await pixel.withIccProfile('p3').png().toBuffer();
  return (await sharp(tagged).metadata()).icc ?? null;
}

async function withProfile(opened: Opened, icc: Buffer): Promise<Uint8Array> {
  const { data, info } = await imageOf(opened).raw().toBuffer({ resolveWithObject: true });
  const channels = info.channels === 4 ? 4 : 3;
  return rawTiff({ width: info.width, height: info.height, channels, pixels: data, icc });
}

/** Without a profile each ink takes its share of the light, as browsers and Pillow do it: no paper is known. */
async function inksOnWhite({ format }: Picture, opened: Opened): Promise<Uint8Array> {
  const inks = upright(imageOf(opened), format).pipelineColourspace('cmyk').toColourspace('cmyk');
  const { data, info } = await inks.raw().toBuffer({ resolveWithObject: true });
  const { width, height } = info;
  const raw = { width, height, channels: 4 } as const;
  const left = sharp(data, { raw }).negate().removeAlpha();
  const black = sharp(data, { raw }).extractChannel(3).negate();
  const [colours, light] = await Promise.all([left.raw().toBuffer(), black.raw().toBuffer()]);
  return await sharp(colours, { raw: { width, height, channels: 3 } })
    .composite([{ input: light, raw: { width, height, channels: 1 }, blend: 'multiply' }])
    .removeAlpha()
    .tiff({ compression: 'none' })
    .toBuffer();
}
