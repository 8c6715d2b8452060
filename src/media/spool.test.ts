import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { lockFile } from '../db/file-lock.ts';
import { Spool } from './spool.ts';

let parent = '';
let root = '';

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'tmlsr-spool-'));
  root = join(parent, 'made', 'on demand');
});

afterEach(async () => {
  await rm(parent, { recursive: true });
});

function open(folder: string, limitBytes = Number.MAX_SAFE_INTEGER): Promise<Spool> {
  return Spool.open(folder, lockFile, limitBytes);
}

test('keeps the files of each gateway in a folder of its own', async () => {
  await using one = await open(root);
  await using two = await open(root);
  await writeFile(one.path('source'), 'of one');
  await writeFile(two.path('source'), 'of two');
  assert.equal(await readFile(one.path('source'), 'utf8'), 'of one');
  assert.equal(dirname(dirname(one.path('source'))), root);
});

test('removes a file, and has nothing against removing it again', async () => {
  await using spool = await open(root);
  await writeFile(spool.path('source'), 'bytes');
  await spool.remove('source');
  await spool.remove('source');
  assert.deepEqual(await readdir(dirname(spool.path('source'))), []);
});

test('leaves nothing of itself behind, whatever is in it', async () => {
  const spool = await open(root);
  await mkdir(spool.path('folder'));
  await writeFile(spool.path('folder/source'), 'bytes');
  await spool[Symbol.asyncDispose]();
  assert.deepEqual(await readdir(root), []);
});

test('sweeps what a dead gateway left, and nothing of a living one', async () => {
  await using living = await open(root);
  await writeFile(living.path('source'), 'in use');
  const dead = join(root, 'dead');
  await mkdir(dead);
  await writeFile(join(dead, 'source'), 'forgotten');
  await writeFile(`${dead}.lock`, '');
  await writeFile(join(root, 'gone.lock'), '');
  await writeFile(join(root, 'notes.txt'), 'of somebody else');

  await using _next = await open(root);
  const names = await readdir(root);
  assert.equal(names.length, 5, names.join());
  assert.ok(names.includes('notes.txt') && !names.includes('dead') && !names.includes('dead.lock'));
  assert.equal(await readFile(living.path('source'), 'utf8'), 'in use');
});

test('can be opened by many gateways at once', async () => {
  await writeFile(join(parent, 'dead.lock'), '');
  const spools = await Promise.all(Array.from({ length: 8 }, () => open(parent)));
  for (const spool of spools) await writeFile(spool.path('source'), 'bytes');
  for (const spool of spools) await spool[Symbol.asyncDispose]();
  assert.deepEqual(await readdir(parent), []);
});

test('lets another file begin when there is room for it', async () => {
  await using spool = await open(root, 100);
  const signal = AbortSignal.timeout(10_000);
  spool.grown('one', 60);
  await spool.room(signal);
  spool.grown('two', 60);
  let isRoom = false;
  const room = spool.room(signal).then(() => {
    isRoom = true;
  });
  await new Promise(setImmediate);
  assert.equal(isRoom, false);
  await spool.remove('one');
  await room;
  spool.grown('two', 200);
  const abort = new AbortController();
  const waiting = spool.room(abort.signal);
  abort.abort(new Error('enough'));
  await assert.rejects(waiting, { name: 'AbortError' });
});
