import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BatchedWriter } from './batched-writer.ts';

describe('BatchedWriter', () => {
  it('writes everything in order, however little is taken at a time', async () => {
    const written: number[] = [];
    const writer = new BatchedWriter(async (chunks) => {
      const taken = Buffer.concat(chunks).subarray(0, 3);
      written.push(...taken);
      return taken.length;
    });
    for (const chunk of [[1, 2], [], [3, 4, 5, 6], [7]]) await writer.add(Uint8Array.from(chunk));
    await writer.end();
    assert.deepEqual(written, [1, 2, 3, 4, 5, 6, 7]);
  });

  it('writes many chunks at once, and one batch at a time', async () => {
    const sizes: number[] = [];
    let underWay = 0;
    const writer = new BatchedWriter(async (chunks) => {
      underWay += 1;
      assert.equal(underWay, 1);
      await new Promise(setImmediate);
      underWay -= 1;
      const bytes = chunks.reduce((sum, { length }) => sum + length, 0);
      sizes.push(bytes);
      return bytes;
    });
    for (let i = 0; i < 40; i += 1) await writer.add(new Uint8Array(64 * 1024));
    await writer.end();
    assert.deepEqual(sizes, [1024 * 1024, 1024 * 1024, 512 * 1024]);
  });

  it('gathers no more than a thousand chunks, however small they are', async () => {
    const counts: number[] = [];
    const writer = new BatchedWriter(async (chunks) => counts.push(chunks.length) && chunks.length);
    for (let i = 0; i < 2_500; i += 1) await writer.add(Uint8Array.of(1));
    await writer.end();
    assert.deepEqual(counts, [1_000, 1_000, 500]);
  });

  it('says by the end at the latest what went wrong', async () => {
    const full = new Error('no room');
    const writer = new BatchedWriter(() => Promise.reject(full));
    await writer.add(new Uint8Array(2 * 1024 * 1024));
    await assert.rejects(writer.add(new Uint8Array(2 * 1024 * 1024)), full);
    await assert.rejects(writer.end(), full);
    await writer.settled();
  });
});
