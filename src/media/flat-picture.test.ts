import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { samplePng } from '../../test/support/media-samples.ts';
import { isFlat } from './flat-picture.ts';

test('one colour is flat, also as a lossy picture, and anything else is not', async () => {
  const shape = {
    width: 60,
    height: 40,
    channels: 3,
    background: { r: 13, g: 200, b: 91 },
  } as const;
  const flat = sharp({ create: shape });
  assert.equal(await isFlat(await flat.clone().png().toBuffer()), true);
  assert.equal(await isFlat(await flat.clone().webp({ quality: 75 }).toBuffer()), true);
  const dot = { create: { ...shape, width: 4, height: 4, background: 'black' } } as const;
  const dotted = flat.composite([{ input: dot }]);
  assert.equal(await isFlat(await dotted.webp({ quality: 75 }).toBuffer()), false);
  assert.equal(await isFlat(await samplePng({ width: 60, height: 40 })), false);
});
