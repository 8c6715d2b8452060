import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { quickTimeLayout } from './quicktime-layout.ts';

/** As QuickTime writes it, with what follows in the description. */
function chan(tag: number, bits = 0, ...labels: number[]): Buffer {
  const head = [0, tag, bits, labels.length].map(word);
  const listed = labels.map((label) => Buffer.concat([word(label), Buffer.alloc(16)]));
  return Buffer.concat([...head, ...listed, Buffer.from('more')]);
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

describe('the layout of QuickTime sound', () => {
  const table: [name: string, box: Buffer, layout: string | null][] = [
    ['a tag', chan(6553601), 'mono'],
    ['a tag', chan(6619138), 'stereo'],
    ['an unusual tag', chan(7077892), null],
    ['bits', chan(65_536, 3), 'stereo'],
    ['bits', chan(65_536, 4), 'mono'],
    ['unusual bits', chan(65_536, 1), null],
    ['labels', chan(0, 0, 1, 2), 'stereo'],
    ['labels', chan(0, 0, 3), 'mono'],
    ['labels', chan(0, 0, 1, 2, 3, 4, 5, 6), '5.1'],
    ['more labels', chan(0, 0, 1, 2, 3, 4, 5, 6, 10, 11), null],
    ['unusual labels', chan(0, 0, 1), null],
    ['labels that are cut off', chan(0, 0, 1, 2).subarray(0, 40), null],
  ];
  for (const [name, box, layout] of table) {
    it(`is told by ${name}: ${layout}`, () => assert.equal(quickTimeLayout(box), layout));
  }
});
