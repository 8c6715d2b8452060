import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import sharp, { type Metadata } from 'sharp';
import { whileWatchingTheLoop } from '../../test/support/event-loop.ts';
import { samplePng } from '../../test/support/media-samples.ts';
import { encodedFormats } from '../core/delivery.ts';
import { withText } from '../emulator/png-text.ts';
import { type Encoding, ImageEncoder } from './image-encoder.ts';

const encoder = new ImageEncoder(2);
const { signal } = new AbortController();
const asItIs: Encoding = { size: null, format: null, quality: null, keepsMetadata: false };
let folder = '';

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tmlsr-encoder-'));
});
after(() => rm(folder, { recursive: true }));

async function encoded(bytes: Buffer, encoding: Partial<Encoding>): Promise<Buffer> {
  const [path, target] = [join(folder, 'made'), join(folder, 'formed')];
  await writeFile(path, bytes);
  await encoder.encode(path, target, { ...asItIs, ...encoding }, signal);
  return await readFile(target);
}

async function metadataOf(bytes: Buffer): Promise<Metadata> {
  return await sharp(bytes).metadata();
}

test('encodes a picture in every format, and smaller at a lower quality', async () => {
  const png = await samplePng({ width: 160, height: 120 });
  for (const format of encodedFormats) {
    const bytes = await encoded(png, { format });
    const metadata = await metadataOf(bytes);
    const known = { png: 'png', jpg: 'jpeg', webp: 'webp', avif: 'heif' }[format];
    assert.deepEqual([metadata.format, metadata.width, metadata.height], [known, 160, 120]);
    if (format === 'png') {
      assert.ok((await sharp(bytes).raw().toBuffer()).equals(await sharp(png).raw().toBuffer()));
      continue;
    }
    const [rough, fine] = [
      await encoded(png, { format, quality: 10 }),
      await encoded(png, { format, quality: 95 }),
    ];
    assert.ok(rough.length < fine.length / 2, `${format}: ${rough.length} and ${fine.length}`);
  }
});

test('resizes, turns upright and keeps the colour profile in one step', async () => {
  const lying = await sharp(await samplePng({ width: 60, height: 40 }))
    .withIccProfile('p3')
    .withMetadata({ orientation: 6 })
    .jpeg()
    .toBuffer();
  const { icc } = await metadataOf(lying);
  const bytes = await encoded(lying, { size: { width: 80, height: 120 }, format: 'webp' });
  const metadata = await metadataOf(bytes);
  assert.deepEqual([metadata.width, metadata.height], [80, 120]);
  assert.equal(metadata.orientation ?? 1, 1);
  assert.ok(icc && metadata.icc?.equals(icc));
  const upright = await metadataOf(await encoded(lying, { format: 'png' }));
  assert.deepEqual([upright.width, upright.height], [40, 60]);
});

test('keeps the depth of a PNG, and puts white behind what a JPEG cannot see through', async () => {
  const deep = await sharp(await samplePng({ width: 30, height: 20 }))
    .toColourspace('rgb16')
    .png()
    .toBuffer();
  assert.equal((await metadataOf(deep)).depth, 'ushort');
  const resized = await encoded(deep, { size: { width: 15, height: 10 } });
  assert.equal((await metadataOf(resized)).depth, 'ushort');
  const clear = { width: 8, height: 8, channels: 4, background: '#0000' } as const;
  const jpg = await encoded(await sharp({ create: clear }).png().toBuffer(), { format: 'jpg' });
  assert.deepEqual([...(await sharp(jpg).raw().toBuffer()).subarray(0, 3)], [255, 255, 255]);
});

test('says nothing of how a picture was made unless it shall', async () => {
  const graph = { 1: { class_type: 'SaveImage' } };
  const png = withText(await samplePng({ width: 30, height: 20 }), { prompt: graph, workflow: [] });
  for (const format of encodedFormats) {
    const plain = await encoded(png, { format, size: { width: 15, height: 10 } });
    assert.equal(plain.includes('SaveImage'), false);
    const kept = await encoded(png, { format, keepsMetadata: true });
    const { comments, exif } = await metadataOf(kept);
    if (format === 'png') {
      assert.deepEqual(
        comments?.map(({ keyword, text }) => [keyword, JSON.parse(text)]),
        [
          ['prompt', graph],
          ['workflow', []],
        ],
      );
    } else {
      assert.ok(exif?.includes(`prompt:${JSON.stringify(graph)}`), format);
      assert.ok(exif?.includes('workflow:[]'), format);
    }
  }
});

test('keeps the frames of an animation, and its format unless that shall be WebP', async () => {
  const frames = await Promise.all(
    [1, 2, 3].map((seed) => samplePng({ width: 40, height: 30, seed })),
  );
  const gif = await sharp(frames, { join: { animated: true } })
    .gif()
    .toBuffer();
  const smaller = await metadataOf(await encoded(gif, { size: { width: 20, height: 15 } }));
  assert.deepEqual([smaller.format, smaller.pages, smaller.width], ['gif', 3, 20]);
  for (const [format, expected] of [
    ['webp', 'webp'],
    ['jpg', 'gif'],
    ['avif', 'gif'],
  ] as const) {
    const metadata = await metadataOf(await encoded(gif, { format }));
    assert.deepEqual([metadata.format, metadata.pages], [expected, 3]);
  }
});

test('says which format cannot hold a side so long', async () => {
  const create = { width: 16_500, height: 2, channels: 3, background: 'red' } as const;
  const long = await sharp({ create }).png().toBuffer();
  await assert.rejects(encoded(long, { format: 'webp' }), {
    code: 'media_too_large',
    message: 'The result measures 16500x2 pixels; webp takes 16383 a side at most',
  });
  assert.equal((await metadataOf(await encoded(long, { format: 'jpg' }))).width, 16_500);
});

test('blames the workflow for what is no picture', async () => {
  const png = await samplePng({ width: 200, height: 200 });
  await assert.rejects(encoded(png.subarray(0, png.length / 2), { format: 'jpg' }), {
    code: 'execution_failed',
  });
});

test('makes a thumbnail that fits, and none of what it cannot read', async () => {
  const path = join(folder, 'picture');
  await writeFile(
    path,
    await sharp(await samplePng({ width: 800, height: 400 }))
      .withMetadata({ orientation: 6 })
      .jpeg()
      .toBuffer(),
  );
  const thumbnail = await encoder.thumbnail(path, signal);
  const { format, width, height } = await metadataOf(thumbnail ?? Buffer.alloc(0));
  assert.deepEqual([format, width, height], ['webp', 160, 320]);
  await writeFile(path, await samplePng({ width: 30, height: 20 }));
  const small = await metadataOf((await encoder.thumbnail(path, signal)) ?? Buffer.alloc(0));
  assert.deepEqual([small.width, small.height], [30, 20]);
  await writeFile(path, 'no picture');
  assert.equal(await encoder.thumbnail(path, signal), null);
});

test('leaves the event loop to others, and nothing behind when it is called off', async () => {
  const path = join(folder, 'large');
  const create = { width: 4_000, height: 3_000, channels: 3, background: 'teal' } as const;
  await writeFile(path, await sharp({ create }).png().toBuffer());
  const target = join(folder, 'never');
  const abort = new AbortController();
  const encoding = { ...asItIs, format: 'avif' } as const;
  const { heldMs } = await whileWatchingTheLoop(async () => {
    const work = encoder.encode(path, target, encoding, abort.signal);
    setTimeout(() => abort.abort(new Error('called off')), 100);
    await assert.rejects(work, /called off/);
  });
  assert.ok(heldMs < 100, `the event loop was held for ${heldMs} ms`);
  const deadline = Date.now() + 60_000;
  while ((await readdir(folder)).includes('never') || !(await isIdle())) {
    assert.ok(Date.now() < deadline);
    await delay(50);
  }
});

/** Whatever was begun has ended when this could run beside it. */
async function isIdle(): Promise<boolean> {
  await Promise.all([1, 2].map(() => encoder.thumbnail(join(folder, 'large'), signal)));
  return !(await readdir(folder)).includes('never');
}

async function previewOf(bytes: Buffer, maxPixels = 100_000_000): Promise<Metadata> {
  const path = join(folder, 'seen');
  await writeFile(path, bytes);
  const preview = await encoder.preview(path, maxPixels, signal);
  assert.equal(preview.contentType, 'image/webp');
  return await metadataOf(Buffer.from(preview.bytes));
}

test('shows what browsers do not: a TIFF of 16 bits, upright, no larger than a screen', async () => {
  const wide = await sharp(await samplePng({ width: 3_000, height: 1_000 }))
    .toColourspace('rgb16')
    .withMetadata({ orientation: 6 })
    .tiff()
    .toBuffer();
  const { format, width, height, space } = await previewOf(wide);
  assert.deepEqual([format, width, height, space], ['webp', 683, 2_048, 'srgb']);
});

test('tells a full disk from a picture that is none', async () => {
  const path = join(folder, 'good');
  await writeFile(path, await samplePng({ width: 60, height: 60 }));
  const full = encoder.encode(path, '/dev/full', { ...asItIs, format: 'webp' }, signal);
  await assert.rejects(full, { code: 'spool_full' });
  await writeFile(path, 'no picture');
  const broken = encoder.encode(path, join(folder, 'formed'), asItIs, signal);
  await assert.rejects(broken, { code: 'execution_failed' });
});

test('shows a small picture as large as it is, and what is behind it through it', async () => {
  const clear = { width: 8, height: 6, channels: 4, background: '#f008' } as const;
  const { width, height, hasAlpha } = await previewOf(
    await sharp({ create: clear }).tiff({ compression: 'lzw' }).toBuffer(),
  );
  assert.deepEqual([width, height, hasAlpha], [8, 6, true]);
});

test('shows nothing of a picture that is damaged or too large', async () => {
  const png = await samplePng({ width: 60, height: 60 });
  const damaged = png.subarray(0, png.length - 400);
  await assert.rejects(previewOf(damaged), { code: 'media_corrupt' });
  await assert.rejects(previewOf(png, 3_599), { code: 'media_too_large' });
  await assert.rejects(previewOf(Buffer.from('no picture')), { code: 'media_corrupt' });
});
