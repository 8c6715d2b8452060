import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';

export function pictureFile(name: string): string {
  return fileURLToPath(new URL(`../media/${name}`, import.meta.url));
}

export type Colour = readonly number[];

/** What a person sees of a file, at places that are told as shares of its sides. */
export interface Seen {
  readonly size: readonly [width: number, height: number];
  readonly at: readonly (readonly [x: number, y: number, colour: Colour])[];
  readonly hasAlpha?: boolean;
  /** Whether a server gets the client's own bytes. */
  readonly isSame?: boolean;
}

export const colours = [
  [255, 0, 0],
  [0, 255, 0],
  [0, 0, 255],
  [255, 255, 255],
] as const;
const [red, green, blue, white] = colours;
export const quarters = (a: Colour, b: Colour, c: Colour, d: Colour): Seen['at'] => [
  [0.2, 0.2, a],
  [0.8, 0.2, b],
  [0.2, 0.8, c],
  [0.8, 0.8, d],
];
/** 31, 60, 200 of Display P3. */
const p3Blue = [20, 61, 208];
const flags = quarters(red, green, blue, white);

export const seenPictures: Record<string, Seen> = {
  'cases/anim.gif': {
    size: [64, 48],
    at: [
      [0.1, 0.1, [36, 0, 0]],
      [0.1, 0.9, [252, 0, 0]],
      [0.9, 0.9, [0, 252, 255]],
    ],
  },
  'cases/multi.tif': { size: [64, 48], at: flags },
  'cases/grid.avif': { size: [384, 256], at: flags },
  'cases/mif1.avif': { size: [64, 48], at: flags },
  'anim.avif': { size: [64, 48], at: [[0.5, 0.5, blue]] },
  'cases/tiled.tif': { size: [192, 128], at: flags },
  'cases/rgbjpeg.tif': { size: [96, 64], at: flags },
  'cases/exif5.jpg': { size: [48, 64], at: quarters(red, blue, green, white) },
  'cases/p3.jpg': { size: [64, 48], at: [[0.5, 0.5, red]] },
  'cases/gray16.png': {
    size: [64, 48],
    at: [
      [0, 0, [0, 0, 0]],
      [0.5, 0.5, [129, 129, 129]],
      [0.99, 0.9, white],
    ],
  },
  'cases/rgba.png': {
    size: [64, 48],
    at: quarters([...red, 0], [...green, 128], [...blue, 0], [...white, 128]),
    hasAlpha: true,
    isSame: true,
  },
  'cases/idat-crc.png': { size: [48, 32], at: [[0.1, 0.1, [21, 23, 67]]], isSame: true },
  'cases/noeoi.jpg': { size: [64, 48], at: flags, isSame: true },
  'cases/wide8200.png': { size: [8200, 8], at: [[0.5, 0.5, [127, 127, 127]]], isSame: true },
  'cmyk.jpg': {
    size: [64, 48],
    at: [
      [0, 0.5, [0, 0, 0]],
      [0.9, 0.5, [228, 0, 0]],
    ],
  },
  'iphone.heic': { size: [150, 200], at: quarters(p3Blue, red, white, [128, 128, 128]) },
  'mirrored.heic': { size: [150, 200], at: quarters(white, [128, 128, 128], p3Blue, red) },
  'nclx-p3.heic': { size: [200, 150], at: quarters(red, [128, 128, 128], p3Blue, white) },
  'rgba.heic': {
    size: [64, 48],
    at: [
      [0.2, 0.2, [234, 51, 35, 0]],
      [0.8, 0.2, [...green, 128]],
    ],
    hasAlpha: true,
  },
};

/** `tolerance`: of 255, in each channel. */
export async function assertShows(
  path: string | Buffer,
  { size, at }: Seen,
  what: string,
  tolerance = 3,
): Promise<void> {
  const { data, info } = await sharp(path, { failOn: 'none' })
    .ensureAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  assert.deepEqual([info.width, info.height], size, what);
  for (const [x, y, colour] of at) {
    const pixel = Math.floor(y * info.height) * info.width + Math.floor(x * info.width);
    const shown = [...data.subarray(pixel * 4, pixel * 4 + 4)];
    const wanted = colour.length === 4 ? colour : [...colour, 255];
    const isNear = shown.every(
      (value, channel) => Math.abs(value - (wanted[channel] ?? 0)) <= tolerance,
    );
    assert.ok(isNear, `${what} at ${x}, ${y}: ${shown} and not ${wanted}`);
  }
}
