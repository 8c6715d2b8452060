/** Pictures of all kinds that people send, of four quarters: red, green, blue, white. */
import { crc32, deflateSync } from 'node:zlib';
import sharp, { type Sharp } from 'sharp';
import { sampleJpeg } from '../support/media-samples.ts';
import {
  blue,
  type Colour,
  corners,
  type Expectation,
  green,
  type OddFile,
  quarters,
  red,
  stored,
  white,
} from './odd-file.ts';

const width = 64;
const height = 48;
const quarterColours = [red, green, blue, white];

function pixels(colourAt: (x: number, y: number) => readonly number[]): Buffer {
  const rows = Array.from({ length: height }, (_, y) =>
    Array.from({ length: width }, (_, x) => colourAt(x, y)),
  );
  return Buffer.from(rows.flat(2));
}

const quarterAt = (x: number, y: number): Colour =>
  quarterColours[(y < height / 2 ? 0 : 2) + (x < width / 2 ? 0 : 1)] ?? white;

const opaque = () => sharp(pixels(quarterAt), { raw: { width, height, channels: 3 } });

/** The left half transparent, the right half half so. */
const seeThrough = () =>
  sharp(
    pixels((x, y) => [...quarterAt(x, y), x < width / 2 ? 0 : 128]),
    { raw: { width, height, channels: 4 } },
  );

const upright: Expectation = { size: [width, height], colours: quarters };
const transparent: Expectation = {
  size: [width, height],
  alphas: [
    [[0.2, 0.5], 0],
    [[0.8, 0.5], 128],
  ],
};
const light = (colour: Colour): Colour => {
  const value = Math.round(0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]);
  return [value, value, value];
};
const grey: Expectation = {
  size: [width, height],
  colours: corners(light(red), light(green), light(blue), white),
};
/** One channel, without a conversion that weighs light in another way. */
const greyish = () =>
  sharp(
    pixels((x, y) => light(quarterAt(x, y)).slice(0, 1)),
    { raw: { width, height, channels: 1 } },
  ).toColourspace('b-w');
const ramp = (size: Expectation['size']): Expectation => ({
  size,
  colours: [
    [
      [0.1, 0.5],
      [24, 24, 24],
    ],
    [
      [0.5, 0.5],
      [126, 126, 126],
    ],
    [
      [0.9, 0.5],
      [228, 228, 228],
    ],
  ],
});

const image = (
  name: string,
  make: () => Promise<Buffer>,
  expected: OddFile['expected'] = upright,
): OddFile => ({ name, kind: 'image', make, expected });

/** What each number of EXIF asks a viewer to do, seen at the corners. */
const byOrientation: Readonly<Record<number, Expectation>> = {
  2: { size: [64, 48], colours: corners(green, red, white, blue) },
  3: { size: [64, 48], colours: corners(white, blue, green, red) },
  4: { size: [64, 48], colours: corners(blue, white, red, green) },
  5: { size: [48, 64], colours: corners(red, blue, green, white) },
  6: { size: [48, 64], colours: corners(blue, red, white, green) },
  7: { size: [48, 64], colours: corners(white, green, blue, red) },
  8: { size: [48, 64], colours: corners(green, white, red, blue) },
};

const oriented = (orientation: number, ending: string, encode: (image: Sharp) => Sharp) =>
  image(
    `exif${orientation}.${ending}`,
    () => encode(opaque().withMetadata({ orientation })).toBuffer(),
    byOrientation[orientation],
  );

const jpeg = (image: Sharp) => image.jpeg({ quality: 95, chromaSubsampling: '4:4:4' });

/** Red, then green, then blue, all over. */
const steps: readonly Colour[] = [red, green, blue];
const firstStep: Expectation = { size: [width, height], colours: corners(red, red, red, red) };

function animation(encode: (image: Sharp) => Sharp): Promise<Buffer> {
  const frames = steps.map((colour) => pixels(() => colour));
  const raw = { width, height: height * steps.length, channels: 3, pageHeight: height } as const;
  return encode(sharp(Buffer.concat(frames), { raw })).toBuffer();
}

/** Written by hand: sharp makes no animated PNG and no 16-bit one of a few bytes. */
function png(colourType: number, bitDepth: number, samples: Buffer, extra: Buffer[] = []): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([bitDepth, colourType], 8);
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    chunk('IHDR', header),
    ...extra,
    chunk('IDAT', deflateSync(scanlines(samples))),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function scanlines(samples: Buffer): Buffer {
  const stride = samples.length / height;
  const rows = Array.from({ length: height }, (_, y) =>
    Buffer.concat([Buffer.alloc(1), samples.subarray(y * stride, (y + 1) * stride)]),
  );
  return Buffer.concat(rows);
}

function chunk(type: string, body: Buffer): Buffer {
  const bytes = Buffer.concat([
    Buffer.alloc(4),
    Buffer.from(type, 'latin1'),
    body,
    Buffer.alloc(4),
  ]);
  bytes.writeUInt32BE(body.length, 0);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, -4)), bytes.length - 4);
  return bytes;
}

async function animatedPng(): Promise<Buffer> {
  const count = Buffer.alloc(8);
  count.writeUInt32BE(steps.length, 0);
  let sequence = 0;
  const control = () => {
    const body = Buffer.alloc(26);
    body.writeUInt32BE(sequence++, 0);
    body.writeUInt32BE(width, 4);
    body.writeUInt32BE(height, 8);
    body.writeUInt16BE(1, 20);
    body.writeUInt16BE(10, 22);
    return chunk('fcTL', body);
  };
  const [first, ...rest] = steps.map((colour) => pixels(() => colour));
  const still = png(2, 8, first ?? Buffer.alloc(0), [chunk('acTL', count), control()]);
  const later = rest.flatMap((samples) => {
    const before = control();
    const data = Buffer.concat([Buffer.alloc(4), deflateSync(scanlines(samples))]);
    data.writeUInt32BE(sequence++, 0);
    return [before, chunk('fdAT', data)];
  });
  const end = still.length - 12;
  return Buffer.concat([still.subarray(0, end), ...later, still.subarray(end)]);
}

const wide = (samples: Buffer): Buffer =>
  Buffer.from(Uint8Array.from({ length: samples.length * 2 }, (_, at) => samples[at >> 1] ?? 0));

async function half(): Promise<Buffer> {
  const whole = await sampleJpeg({ width: 200, height: 160 });
  return whole.subarray(0, whole.length / 2);
}

/** In Display P3 31, 60, 200. */
const p3Blue: Colour = [20, 61, 208];
const middleGrey: Colour = [128, 128, 128];

export const oddPictures: readonly OddFile[] = [
  image('plain.png', () => opaque().png().toBuffer()),
  image('plain.jpg', () => jpeg(opaque()).toBuffer()),
  image('plain.webp', () => opaque().webp({ quality: 95 }).toBuffer()),
  image('lossless.webp', () => opaque().webp({ lossless: true }).toBuffer()),
  image('plain.avif', () => opaque().avif({ quality: 90 }).toBuffer()),
  image('deep.avif', () => opaque().avif({ quality: 90, bitdepth: 10 }).toBuffer()),
  image('plain.tif', () => opaque().tiff({ compression: 'none' }).toBuffer()),
  image('lzw.tif', () => opaque().tiff({ compression: 'lzw' }).toBuffer()),
  image('deflate.tif', () => opaque().tiff({ compression: 'deflate' }).toBuffer()),
  image('packbits.tif', () => opaque().tiff({ compression: 'packbits' }).toBuffer()),
  image('jpeg.tif', () => opaque().tiff({ compression: 'jpeg', quality: 95 }).toBuffer()),
  image('tiles.tif', () =>
    opaque().tiff({ compression: 'deflate', tile: true, tileWidth: 16, tileHeight: 16 }).toBuffer(),
  ),
  image('still.gif', () => opaque().gif().toBuffer()),
  image('progressive.jpg', () => opaque().jpeg({ quality: 95, progressive: true }).toBuffer()),
  image('grey.png', () => greyish().png().toBuffer(), grey),
  image('grey.jpg', () => greyish().jpeg({ quality: 95 }).toBuffer(), grey),
  image('palette.png', () => opaque().png({ palette: true }).toBuffer()),
  image('cmyk.jpg', () => jpeg(opaque().toColourspace('cmyk')).toBuffer(), {
    size: [width, height],
  }),
  ...[2, 3, 4, 5, 6, 7, 8].map((orientation) => oriented(orientation, 'jpg', jpeg)),
  oriented(6, 'png', (image) => image.png()),
  oriented(2, 'webp', (image) => image.webp({ lossless: true })),
  oriented(7, 'tif', (image) => image.tiff({ compression: 'none' })),
  image('alpha.png', () => seeThrough().png().toBuffer(), transparent),
  image('alpha.webp', () => seeThrough().webp({ quality: 95 }).toBuffer(), transparent),
  image('alpha-lossless.webp', () => seeThrough().webp({ lossless: true }).toBuffer(), transparent),
  image('alpha.tif', () => seeThrough().tiff({ compression: 'lzw' }).toBuffer(), transparent),
  image('alpha.avif', () => seeThrough().avif({ quality: 90 }).toBuffer(), transparent),
  image('alpha-palette.png', () => seeThrough().png({ palette: true }).toBuffer(), transparent),
  image('alpha-grey.png', () => seeThrough().greyscale().png().toBuffer(), transparent),
  image('deep.png', async () => png(2, 16, wide(pixels(quarterAt)))),
  image(
    'deep-alpha.png',
    async () => png(6, 16, wide(pixels((x, y) => [...quarterAt(x, y), x < width / 2 ? 0 : 128]))),
    transparent,
  ),
  image('animated.gif', () => animation((image) => image.gif()), firstStep),
  image('animated.webp', () => animation((image) => image.webp({ lossless: true })), firstStep),
  image('animated.png', animatedPng, firstStep),
  image('p3.png', () => opaque().withIccProfile('p3').png().toBuffer()),
  image('p3.jpg', stored('p3.jpg'), { size: [64, 48], colours: corners(red, red, red, red) }),
  image('rgba.png', stored('rgba.png'), transparent),
  image('gray16.png', stored('gray16.png'), ramp([64, 48])),
  image('anim.gif', stored('anim.gif'), { size: [64, 48] }),
  image('multi.tif', stored('multi.tif')),
  image('tiled.tif', stored('tiled.tif'), { size: [192, 128], colours: quarters }),
  image('rgbjpeg.tif', stored('rgbjpeg.tif'), { size: [96, 64], colours: quarters }),
  image('grid.avif', stored('grid.avif'), { size: [384, 256], colours: quarters }),
  image('mif1.avif', stored('mif1.avif')),
  image('idat-crc.png', stored('idat-crc.png'), { size: [48, 32] }),
  image('noeoi.jpg', stored('noeoi.jpg')),
  image('iphone.heic', stored('../iphone.heic'), {
    size: [150, 200],
    colours: corners(p3Blue, red, white, middleGrey),
  }),
  image('mirrored.heic', stored('../mirrored.heic'), {
    size: [150, 200],
    colours: corners(white, middleGrey, p3Blue, red),
  }),
  image('alpha.heic', stored('../rgba.heic'), {
    size: [64, 48],
    alphas: [
      [[0.2, 0.2], 0],
      [[0.8, 0.2], 128],
    ],
  }),
  image('lab.tif', stored('lab.tif'), { refusedAs: ['media_unsupported'] }),
  image('nonsense.png', async () => Buffer.from('this is no picture '.repeat(20)), {
    refusedAs: ['media_unsupported', 'media_corrupt'],
  }),
  image('cut.jpg', half, {
    refusedAs: ['media_corrupt'],
  }),
];
