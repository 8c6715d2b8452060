import assert from 'node:assert/strict';
import fs, {
  type FileHandle,
  mkdir,
  mkdtemp,
  open,
  readdir,
  rm,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { DiskStore } from '../src/storage/disk-store.ts';
import { diskFailed } from '../src/storage/errors.ts';
import { describeObjectStore, type StoreUnderTest } from './suites/object-store.suite.ts';
import { bufferSource } from './support/byte-source.ts';

describeObjectStore('DiskStore', makeStore);

test('links to the gateway, which serves the objects', async () => {
  await using folder = await makeFolder();
  const store = await DiskStore.open({ root: folder.path, publicUrl: 'https://x.test/g' });
  assert.equal(await store.urlOf('a b/c.png'), 'https://x.test/g/objects/a%20b/c.png');
  assert.equal(store.keyOf('https://x.test/g/objects/a%20b/c.png?x'), 'a b/c.png');
  assert.equal(store.keyOf('https://x.test/objects/a%20b/c.png'), null);
});

test('tells the type from the name', async () => {
  await using tested = await makeStore();
  const { store } = tested;
  for (const [key, contentType] of [
    ['x.JPEG', 'image/jpeg'],
    ['x.webm', 'video/webm'],
    ['x.exe', 'application/octet-stream'],
    ['x', 'application/octet-stream'],
  ] as const) {
    await store.put(key, bufferSource('x'), { contentType: 'text/html', signal: never() });
    assert.equal((await store.stat(key, never()))?.contentType, contentType);
  }
});

test('sweeps what a crash left, and spares what another gateway is writing', async () => {
  await using folder = await makeFolder();
  const temporary = join(folder.path, '.tmp');
  await mkdir(temporary);
  await writeFile(join(temporary, 'left'), 'x');
  await writeFile(join(temporary, 'young'), 'x');
  const longAgo = new Date(Date.now() - 2 * 60 * 60_000);
  await utimes(join(temporary, 'left'), longAgo, longAgo);
  await DiskStore.open({ root: folder.path, publicUrl: null });
  assert.deepEqual(await readdir(temporary), ['young']);
});

test('stores in a folder that others empty at the same time', async (t) => {
  await using tested = await makeStore();
  const { store } = tested;
  const { rename } = fs;
  let deletions = 5;
  t.mock.method(fs, 'rename', async (from: string, to: string) => {
    deletions -= 1;
    // What a `delete` of the last object does to its folder.
    if (deletions >= 0) await fs.rmdir(dirname(to));
    await rename(from, to);
  });
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.reset();
    syncBuiltinESMExports();
  });
  await store.put('of/a.png', bufferSource('x'), { contentType: 'image/png', signal: never() });
  assert.equal((await store.stat('of/a.png', never()))?.size, 1);
});

test('keeps its temporary files out of reach of keys', async () => {
  await using tested = await makeStore();
  const key = '.tmp/x';
  const source = bufferSource('x');
  const put = tested.store.put(key, source, { contentType: 'image/png', signal: never() });
  await assert.rejects(put, { code: 'invalid_request' });
});

test('says so when the disk is full, and keeps the path to itself', () => {
  const error = Object.assign(new Error("ENOSPC: no space left on device, write '/secret'"), {
    code: 'ENOSPC',
  });
  const failure = diskFailed(error);
  assert.equal(failure.code, 'storage_full');
  assert.equal(failure.message, 'The disk that keeps the results is full');
});

test('leaves nothing on a disk that is full, and stores once there is room again', async (t) => {
  await using tested = await makeStore();
  const { store } = tested;
  const options = { contentType: 'image/png', signal: never() };
  await using probe = await open(import.meta.filename);
  const handles = Object.getPrototypeOf(probe) as FileHandle;
  const full = t.mock.method(handles, 'sync', () =>
    Promise.reject(Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })),
  );
  await assert.rejects(store.put('x.png', bufferSource('x'), options), {
    code: 'storage_full',
    message: 'The disk that keeps the results is full',
  });
  assert.deepEqual(await tested.contents(), []);
  full.mock.restore();
  await store.put('x.png', bufferSource('x'), options);
  assert.deepEqual(await tested.contents(), ['x.png']);
});

test('copies the bytes where a file cannot have a second name', async (t) => {
  await using tested = await makeStore();
  const { store } = tested;
  await store.put('a.png', bufferSource('hello'), { contentType: 'image/png', signal: never() });
  t.mock.method(fs, 'link', () =>
    Promise.reject(Object.assign(new Error('EPERM'), { code: 'EPERM' })),
  );
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
  assert.equal(await store.copy('a.png', 'b.png', never()), true);
  const [first, copy] = [await store.stat('a.png', never()), await store.stat('b.png', never())];
  assert.equal(copy?.size, 5);
  assert.notEqual(copy?.etag, first?.etag, 'it is the same file');
});

test('fails clearly where a name stands in the way of a folder', async () => {
  await using tested = await makeStore();
  const { store } = tested;
  const options = { contentType: 'image/png', signal: never() };
  await store.put('a', bufferSource('x'), options);
  await assert.rejects(store.put('a/b', bufferSource('x'), options), { code: 'storage_failed' });
  assert.deepEqual(await tested.contents(), ['a']);
});

async function makeStore(): Promise<StoreUnderTest> {
  const folder = await makeFolder();
  const store = await DiskStore.open({ root: folder.path, publicUrl: 'http://gateway.test' });
  return {
    store,
    async contents() {
      const entries = await readdir(folder.path, { recursive: true, withFileTypes: true });
      // Folders count as well, but for the one of the temporary files.
      return entries
        .filter((entry) => entry.isFile() || (entry.name !== '.tmp' && isEmptyOf(entries, entry)))
        .map((entry) => join(entry.parentPath, entry.name).slice(folder.path.length + 1));
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

interface Entry {
  readonly name: string;
  readonly parentPath: string;
}

function isEmptyOf(entries: readonly Entry[], { name, parentPath }: Entry): boolean {
  return !entries.some((entry) => entry.parentPath === join(parentPath, name));
}

async function makeFolder(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'disk-store-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

function never(): AbortSignal {
  return new AbortController().signal;
}
