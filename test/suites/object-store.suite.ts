import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { GatewayError } from '../../src/core/errors.ts';
import type { ByteSource, ObjectStore, PutOptions } from '../../src/storage/object-store.ts';
import { bufferSource, GeneratedSource } from '../support/byte-source.ts';
import { LiveMemory } from '../support/live-memory.ts';

export interface StoreUnderTest extends AsyncDisposable {
  readonly store: ObjectStore;
  /** Names of all that is stored, the unfinished included. */
  contents(): Promise<string[]>;
}

const mebibyte = 1024 * 1024;

/** What every driver promises; `makeStore` makes an empty store. */
export function describeObjectStore(name: string, makeStore: () => Promise<StoreUnderTest>): void {
  describe(name, () => {
    test('gives back what was put, with its size, type and checksum', async () => {
      await using tested = await makeStore();
      const { store } = tested;
      const stored = await store.put('a/b.png', bufferSource('hello'), putOptions('image/png'));
      assert.deepEqual(stored, { key: 'a/b.png', size: 5, sha256: sha256('hello') });

      const opened = await store.open('a/b.png', null, never());
      assert.ok(opened);
      assert.equal(await textOf(opened.body), 'hello');
      const { body: _, ...openedStat } = opened;
      const found = await store.stat('a/b.png', never());
      assert.deepEqual(openedStat, found);
      assert.equal(found?.size, 5);
      assert.equal(found?.contentType, 'image/png');
      assert.match(found?.etag ?? '', /^"[^"]+"$/);
      assert.ok(Math.abs(Date.now() - (found?.modifiedAt.getTime() ?? 0)) < 60_000);
    });

    test('keeps an object of no bytes', async () => {
      await using tested = await makeStore();
      const stored = await tested.store.put('empty.bin', bufferSource(''), putOptions());
      assert.deepEqual(stored, { key: 'empty.bin', size: 0, sha256: sha256('') });
      const opened = await tested.store.open('empty.bin', null, never());
      assert.equal(opened && (await textOf(opened.body)), '');
    });

    test('replaces what was there, under another validator', async () => {
      await using tested = await makeStore();
      const { store } = tested;
      await store.put('x.txt', bufferSource('first'), putOptions());
      const before = await store.stat('x.txt', never());
      await store.put('x.txt', bufferSource('second'), putOptions());
      const after = await store.open('x.txt', null, never());
      assert.equal(after && (await textOf(after.body)), 'second');
      assert.notEqual(before?.etag, after?.etag);
    });

    test('gives a range, both ends included, and the size of the whole', async () => {
      await using tested = await makeStore();
      const { store } = tested;
      await store.put('x.mp4', bufferSource('0123456789'), putOptions('video/mp4'));
      for (const [start, end, expected] of [
        [2, 4, '234'],
        [0, 0, '0'],
        [7, 99, '789'],
      ] as const) {
        const opened = await store.open('x.mp4', { start, end }, never());
        assert.equal(opened?.size, 10);
        assert.equal(opened && (await textOf(opened.body)), expected);
      }
      await assert.rejects(store.open('x.mp4', { start: 10, end: 12 }, never()), {
        code: 'invalid_request',
      });
    });

    test('knows nothing of a key that was never put, or only begins like one', async () => {
      await using tested = await makeStore();
      const { store } = tested;
      await store.put('a/b.txt', bufferSource('x'), putOptions());
      for (const key of ['none.txt', 'a', 'a/b.txt/c']) {
        assert.equal(await store.open(key, null, never()), null, key);
        assert.equal(await store.stat(key, never()), null, key);
        await store.delete(key, never());
      }
      assert.ok(await store.stat('a/b.txt', never()));
    });

    test('deletes, also twice', async () => {
      await using tested = await makeStore();
      const { store } = tested;
      await store.put('a/b/c.txt', bufferSource('x'), putOptions());
      await store.delete('a/b/c.txt', never());
      await store.delete('a/b/c.txt', never());
      assert.equal(await store.stat('a/b/c.txt', never()), null);
      assert.deepEqual(await tested.contents(), []);
    });

    test('copies an object, and each of the two outlives the other', async () => {
      await using tested = await makeStore();
      const { store } = tested;
      const stored = await store.put('a/b.png', bufferSource('hello'), putOptions('image/png'));
      const names = ["c/结果 (1)!*'+&%41=~.png", 'c/d/e.png'] as const;
      for (const key of names) assert.equal(await store.copy('a/b.png', key, never()), true);
      await store.delete('a/b.png', never());
      await store.delete(names[1], never());
      const copy = await store.open(names[0], null, never());
      assert.equal(copy?.size, stored.size);
      assert.equal(copy?.contentType, 'image/png');
      assert.equal(copy && (await textOf(copy.body)), 'hello');
      assert.deepEqual(await tested.contents(), [names[0]]);
    });

    test('copies over what was there, also twice, and onto the object itself', async () => {
      await using tested = await makeStore();
      const { store } = tested;
      await store.put('a.txt', bufferSource('new'), putOptions());
      await store.put('b.txt', bufferSource('old one'), putOptions());
      for (const key of ['b.txt', 'b.txt', 'a.txt']) {
        assert.equal(await store.copy('a.txt', key, never()), true);
      }
      await store.put('a.txt', bufferSource('newer'), putOptions());
      const copy = await store.open('b.txt', null, never());
      assert.equal(copy && (await textOf(copy.body)), 'new');
      assert.deepEqual((await tested.contents()).sort(), ['a.txt', 'b.txt']);
    });

    test('copies nothing that is not there', async () => {
      await using tested = await makeStore();
      const { store } = tested;
      await store.put('a/b.txt', bufferSource('x'), putOptions());
      for (const key of ['none.txt', 'a', 'a/b.txt/c']) {
        assert.equal(await store.copy(key, 'c.txt', never()), false, key);
      }
      assert.deepEqual(await tested.contents(), ['a/b.txt']);
    });

    test('refuses keys that could mean something else', async () => {
      await using tested = await makeStore();
      const { store } = tested;
      const bad = ['', '/', '/a', 'a/', 'a//b', '.', '..', 'a/../b', 'a/./b', '../a'];
      const alsoBad = [
        'a\0b',
        'a\nb',
        'a\\b',
        '..\\a',
        '\ud800',
        'a'.repeat(300),
        'ab/'.repeat(400),
      ];
      for (const key of [...bad, ...alsoBad]) {
        const expected = { code: 'invalid_request' };
        await assert.rejects(store.put(key, bufferSource('x'), putOptions()), expected, key);
        await assert.rejects(store.open(key, null, never()), expected, key);
        await assert.rejects(store.stat(key, never()), expected, key);
        await assert.rejects(store.delete(key, never()), expected, key);
        await assert.rejects(store.copy(key, 'a', never()), expected, key);
        await assert.rejects(store.copy('a', key, never()), expected, key);
        await assert.rejects(store.urlOf(key), expected, key);
      }
      assert.deepEqual(await tested.contents(), []);
    });

    test('takes names with spaces, signs and letters of any script, and links to them', async () => {
      await using tested = await makeStore();
      const { store } = tested;
      const key = "结果 1/naïve (2)!*'+&#?%41=~.png";
      await store.put(key, bufferSource('ok'), putOptions());
      const opened = await store.open(key, null, never());
      assert.equal(opened && (await textOf(opened.body)), 'ok');
      const url = new URL(await store.urlOf(key));
      assert.equal(store.keyOf(url.href), key);
      assert.equal(url.search + url.hash, '');
      assert.ok(decodeURIComponent(url.pathname).endsWith(`/${key}`));
      await store.delete(key, never());
      assert.deepEqual(await tested.contents(), []);
    });

    test('stores a large body in constant memory, and tells how far it is', async () => {
      await using tested = await makeStore();
      const source = new GeneratedSource(64 * mebibyte);
      const progress: number[] = [];
      const memory = new LiveMemory();
      const stored = await tested.store.put('large.mp4', source, {
        ...putOptions('video/mp4'),
        onProgress: (bytes) => {
          progress.push(bytes);
          memory.passed(bytes);
        },
      });
      assert.equal(stored.size, source.size);
      assert.equal(stored.sha256, source.sha256());
      assert.equal(progress.at(-1), source.size);
      assert.ok(progress.length >= 8, `${progress.length} reports`);
      assert.deepEqual(
        progress,
        progress.toSorted((a, b) => a - b),
      );
      const grown = memory.grownBytes / mebibyte;
      assert.ok(grown > 0 && grown < 56, `grew by ${grown} MiB`);

      const range = { start: 40 * mebibyte - 5, end: 40 * mebibyte + 5 };
      const opened = await tested.store.open('large.mp4', range, never());
      const expected = await buffer(await source.open(range));
      assert.deepEqual(opened && (await buffer(opened.body)), expected);
      assert.equal(source.openStreams, 0);
    });

    for (const [size, name] of [
      [300_000, 'small'],
      [40 * mebibyte, 'large'],
    ] as const) {
      test(`leaves nothing when a ${name} source breaks midway`, async () => {
        await using tested = await makeStore();
        const flaws = { breakAt: size - 100_000, breaksWith: new Error('socket hang up') };
        const source = new GeneratedSource(size, flaws);
        await rejectsCleanly(tested, source, { code: 'output_truncated' });
      });

      test(`passes on the error of a ${name} source`, async () => {
        await using tested = await makeStore();
        const breaksWith = new GatewayError('backend_unreachable', 'The server is gone');
        const source = new GeneratedSource(size, { breakAt: size - 100_000, breaksWith });
        await rejectsCleanly(tested, source, breaksWith);
      });

      test(`reports a ${name} source that ends short of its length`, async () => {
        await using tested = await makeStore();
        const source = new GeneratedSource(size, { breakAt: size - 1 });
        await rejectsCleanly(tested, source, { code: 'output_truncated' });
      });

      test(`cuts the transfer of a ${name} source when the signal aborts`, async () => {
        await using tested = await makeStore();
        const source = new GeneratedSource(size, { stallAt: size - 100_000 });
        const reason = new Error('canceled');
        const abort = new AbortController();
        setTimeout(() => abort.abort(reason), 300);
        const startedAt = performance.now();
        await rejectsCleanly(tested, source, reason, abort.signal);
        assert.ok(performance.now() - startedAt < 30_000);
      });
    }

    test('passes on what opening the source throws', async () => {
      await using tested = await makeStore();
      const error = new GatewayError('output_missing', 'The result is gone');
      const source: ByteSource = { size: 5, open: () => Promise.reject(error) };
      await assert.rejects(tested.store.put('x.bin', source, putOptions()), error);
      assert.deepEqual(await tested.contents(), []);
    });

    test('reports a source that is longer than its length', async () => {
      await using tested = await makeStore();
      const { open } = bufferSource('0123456789');
      const source = { size: 5, open };
      await assert.rejects(tested.store.put('x.bin', source, putOptions()), {
        code: 'output_truncated',
      });
      assert.deepEqual(await tested.contents(), []);
    });

    test('does nothing for a signal that has aborted already', async () => {
      await using tested = await makeStore();
      const { store } = tested;
      const reason = new Error('too late');
      const signal = AbortSignal.abort(reason);
      const source = new GeneratedSource(10);
      await assert.rejects(store.put('x.bin', source, { ...putOptions(), signal }), reason);
      await assert.rejects(store.open('x.bin', null, signal), reason);
      await assert.rejects(store.stat('x.bin', signal), reason);
      await assert.rejects(store.delete('x.bin', signal), reason);
      await assert.rejects(store.copy('x.bin', 'y.bin', signal), reason);
      assert.equal(source.streams.length, 0);
    });

    test('stores the same key from many sides at once, and one of them wins whole', async () => {
      await using tested = await makeStore();
      const { store } = tested;
      const bodies = Array.from({ length: 8 }, (_, index) => String(index).repeat(100_000));
      await Promise.all(
        bodies.map((body) => store.put('same/key.txt', bufferSource(body), putOptions())),
      );
      const opened = await store.open('same/key.txt', null, never());
      assert.ok(opened && bodies.includes(await textOf(opened.body)));
      assert.deepEqual(await tested.contents(), ['same/key.txt']);
    });
  });
}

async function rejectsCleanly(
  { store, contents }: StoreUnderTest,
  source: GeneratedSource,
  expected: Error | { code: string },
  signal = never(),
): Promise<void> {
  const options = { ...putOptions('video/mp4'), signal };
  await assert.rejects(store.put('broken/x.mp4', source, options), (error: unknown) => {
    if (expected instanceof Error) assert.equal(error, expected);
    else assert.equal((error as { code: string }).code, expected.code);
    return true;
  });
  assert.equal(await store.stat('broken/x.mp4', never()), null);
  await becomes(contents, []);
  assert.equal(source.openStreams, 0);
}

/** A server may notice a cut connection a moment after its client. */
async function becomes(contents: () => Promise<string[]>, expected: string[]): Promise<void> {
  for (let tries = 0; tries < 50 && (await contents()).length > expected.length; tries += 1) {
    await delay(20);
  }
  assert.deepEqual(await contents(), expected);
}

function putOptions(contentType = 'application/octet-stream'): PutOptions {
  return { contentType, signal: never() };
}

function never(): AbortSignal {
  return new AbortController().signal;
}

async function textOf(body: Readable): Promise<string> {
  return (await buffer(body)).toString();
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
