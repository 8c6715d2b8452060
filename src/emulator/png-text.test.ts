import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { withText } from './png-text.ts';

test('adds text that readers find, and leaves the picture as it is', async () => {
  const create = { width: 4, height: 4, channels: 3, background: '#336699' } as const;
  const png = await sharp({ create }).png().toBuffer();
  const tagged = withText(png, { prompt: { 1: { title: 'ü 名' } }, workflow: [] });
  const { comments } = await sharp(tagged).metadata();
  assert.deepEqual(comments, [
    { keyword: 'prompt', text: '{"1":{"title":"\\u00fc \\u540d"}}' },
    { keyword: 'workflow', text: '[]' },
  ]);
  assert.deepEqual(await sharp(tagged).raw().toBuffer(), await sharp(png).raw().toBuffer());
});
