/**
 * What it costs to look at a picture of 12 megapixels before a server gets it, processor milliseconds: of a
 * plain JPEG against nothing but reading its rows, in turns; of others with the plain picture that is made.
 *
 *   npx node bench/picture-costs.ts [further files…]
 */
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import sharp from 'sharp';
import { MediaProbe } from '../src/media/probe.ts';

const rounds = 15;
const [width, height] = [4_032, 3_024];
const signal = AbortSignal.timeout(600_000);
const folder = await mkdtemp(join(tmpdir(), 'tmlsr-bench-'));
const probe = new MediaProbe();
const plain = { path: join(folder, 'plain'), onBytes: () => {} };

/** A photo, more or less: soft, with some noise. */
const soft = await sharp({
  create: {
    width: 504,
    height: 378,
    channels: 3,
    background: 'grey',
    noise: { type: 'gaussian', mean: 128, sigma: 60 },
  },
})
  .blur(2)
  .resize(width, height)
  .raw()
  .toBuffer();
const photo = sharp(soft, { raw: { width, height, channels: 3 } });

async function cpuMs(work: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

async function look(path: string): Promise<void> {
  const wish = { plain, frames: 'first', isChecked: false } as const;
  await (await probe.begin(path, signal, {}, wish)).checked;
}

async function readRows(path: string): Promise<void> {
  const image = sharp(path, { failOn: 'error', sequentialRead: true, pages: 1 });
  await image.metadata();
  await image.clone().resize({ width: 1, height, fit: 'fill' }).raw().toBuffer();
}

try {
  for (const [name, jpeg] of [
    ['untagged', photo.clone().jpeg({ quality: 90 })],
    ['tagged sRGB', photo.clone().jpeg({ quality: 90 }).withIccProfile('srgb')],
  ] as const) {
    const path = join(folder, 'plain.jpg');
    await writeFile(path, await jpeg.toBuffer());
    const [looked, read]: [number[], number[]] = [[], []];
    for (let round = 0; round < rounds; round += 1) {
      read.push(await cpuMs(() => readRows(path)));
      looked.push(await cpuMs(() => look(path)));
    }
    const ratio = median(looked) / median(read);
    console.log(
      `plain JPEG, ${name}: ${median(looked).toFixed(0)} ms, ${ratio.toFixed(2)} times its rows alone`,
    );
  }
  const others: Record<string, Buffer> = {
    'turned JPEG': await photo
      .clone()
      .withMetadata({ orientation: 6 })
      .jpeg({ quality: 90 })
      .toBuffer(),
    'P3 JPEG': await photo.clone().jpeg({ quality: 90 }).withIccProfile('p3').toBuffer(),
    'RGBA PNG': await photo.clone().ensureAlpha().png({ compressionLevel: 1 }).toBuffer(),
    '16-bit PNG': await photo
      .clone()
      .toColourspace('rgb16')
      .png({ compressionLevel: 1 })
      .toBuffer(),
    AVIF: await photo.clone().avif({ effort: 0 }).toBuffer(),
    TIFF: await photo.clone().tiff({ compression: 'lzw' }).toBuffer(),
  };
  for (const file of process.argv.slice(2)) others[basename(file)] = await readFile(file);
  for (const [name, bytes] of Object.entries(others)) {
    const path = join(folder, 'other');
    await writeFile(path, bytes);
    await rm(plain.path, { force: true });
    const costs: number[] = [];
    for (let round = 0; round < 3; round += 1) costs.push(await cpuMs(() => look(path)));
    const made = await stat(plain.path).catch(() => null);
    const size = made
      ? `, ${(made.size / 1e6).toFixed(1)} MB made of ${(bytes.length / 1e6).toFixed(1)}`
      : ', as it is';
    console.log(`${name}: ${median(costs).toFixed(0)} ms${size}`);
  }
} finally {
  await rm(folder, { recursive: true });
}
