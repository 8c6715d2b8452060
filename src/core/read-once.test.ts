import assert from 'node:assert/strict';
import { it } from 'node:test';
import { readFor } from './read-once.ts';

it('reads one address once for inputs of one kind', () => {
  const [a, mask, clip, b] = [
    { input: 'image', url: 'https://example.com/a' },
    { input: 'mask', url: 'https://example.com/a' },
    { input: 'clip', url: 'https://example.com/a' },
    { input: 'other', url: 'https://example.com/b' },
  ];
  const read = readFor([a, mask, clip, b], (input) => (input === 'clip' ? 'video' : 'image'));
  assert.deepEqual(
    [...read],
    [
      ['image', a],
      ['mask', a],
      ['clip', clip],
      ['other', b],
    ],
  );
});
