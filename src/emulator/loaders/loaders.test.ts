/** Each expectation was seen on ComfyUI 0.3.64 (Pillow) and 0.33.0 (PyAV), with these files. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import type { Frame } from '../frames.ts';
import { readAsPillow } from './pillow.ts';
import { readAsPyAv } from './pyav.ts';

const cases = new URL('../../../test/media/cases/', import.meta.url);

const read = (name: string) => readFile(new URL(name, cases));
const byPillow = async (name: string) => Array.fromAsync(readAsPillow(await read(name)));
const byPyAv = async (name: string) => Array.fromAsync(readAsPyAv(await read(name)));

function pixel({ width, height, rgb }: Frame, x: number, y: number): string {
  const at = (Math.floor(y * (height - 1)) * width + Math.floor(x * (width - 1))) * 3;
  const near = (value: number) => (value > 250 ? 255 : value < 5 ? 0 : value);
  return [...rgb.subarray(at, at + 3)].map(near).join(',');
}

function corners(frame: Frame | undefined): string {
  assert.ok(frame);
  const at = [0.1, 0.9].flatMap((y) => [0.1, 0.9].map((x) => pixel(frame, x, y)));
  return `${frame.width}x${frame.height} ${at.join(' ')}`;
}

const quarters = '255,0,0 0,255,0 0,0,255 255,255,255';
const nothing = '0,0,0 0,0,0 0,0,0 0,0,0';

test('every frame of an animation is read, the pages of a TIFF by Pillow only', async () => {
  const count = async (frames: Promise<Frame[]>) => (await frames).length;
  assert.equal(await count(byPillow('anim.gif')), 5);
  assert.equal(await count(byPyAv('anim.gif')), 5);
  assert.equal(await count(byPillow('multi.tif')), 2);
  assert.equal(await count(byPyAv('multi.tif')), 1);
});

test('PyAV sees nothing of a tiled TIFF or of JPEG in a TIFF, and the first tile of an AVIF', async () => {
  for (const [name, size] of [
    ['tiled.tif', '192x128'],
    ['rgbjpeg.tif', '96x64'],
  ] as const) {
    assert.equal(corners((await byPillow(name))[0]), `${size} ${quarters}`);
    assert.equal(corners((await byPyAv(name))[0]), `${size} ${nothing}`);
  }
  assert.equal(corners((await byPillow('grid.avif'))[0]), `384x256 ${quarters}`);
  const red = Array(4).fill('255,0,0').join(' ');
  assert.equal(corners((await byPyAv('grid.avif'))[0]), `192x128 ${red}`);
  assert.equal(corners((await byPyAv('mif1.avif'))[0]), `64x48 ${quarters}`);
});

test('PyAV turns a mirrored photo and leaves out the mirror', async () => {
  const upright = '48x64 255,0,0 0,0,255 0,255,0 255,255,255';
  assert.equal(corners((await byPillow('exif5.jpg'))[0]), upright);
  const turned = '48x64 0,0,255 255,0,0 255,255,255 0,255,0';
  assert.equal(corners((await byPyAv('exif5.jpg'))[0]), turned);
});

test('neither looks at a colour profile', async () => {
  assert.match(corners((await byPillow('p3.jpg'))[0]), /^64x48 234,51,35 /);
  assert.match(corners((await byPyAv('p3.jpg'))[0]), /^64x48 234,51,35 /);
});

test('Pillow cuts grey of 16 bits to white, and both make black of floats', async () => {
  assert.match(corners((await byPillow('gray16.png'))[0]), /^64x48 255,255,255 255,255,255 /);
  assert.match(corners((await byPyAv('gray16.png'))[0]), /^64x48 24,24,24 22\d,22\d,22\d /);
  assert.equal(corners((await byPillow('float.tif'))[0]), `64x48 ${nothing}`);
  assert.equal(corners((await byPyAv('float.tif'))[0]), `64x48 ${nothing}`);
});

test('both give the colours under transparency, and the transparency beside them', async () => {
  for (const reading of [byPillow, byPyAv]) {
    const [frame] = await reading('rgba.png');
    assert.equal(corners(frame), `64x48 ${quarters}`);
    assert.deepEqual([frame?.alpha?.[5], frame?.alpha?.[60]], [0, 128]);
  }
});

test('a wrong checksum and a missing end marker are no hindrance', async () => {
  for (const name of ['idat-crc.png', 'noeoi.jpg']) {
    assert.deepEqual([(await byPillow(name)).length, (await byPyAv(name)).length], [1, 1], name);
  }
});
