import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { lockFile } from '../db/file-lock.ts';
import { Spool } from './spool.ts';

const note = {
  bytes: 5,
  sha256: null,
  info: { kind: 'image', format: 'png', width: 1, height: 1 },
} as const;

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
  await writeFile(one.file('a', 'source').path, 'of one');
  await writeFile(two.file('a', 'source').path, 'of two');
  assert.equal(await readFile(one.file('a', 'source').path, 'utf8'), 'of one');
  assert.equal(dirname(dirname(one.file('a', 'source').path)), root);
});

test('removes the files of one owner, and has nothing against doing so again', async () => {
  await using spool = await open(root);
  const [image, mask] = [spool.file('a', 'image'), spool.file('a', 'mask')];
  for (const { path } of [image, mask, spool.file('b', 'image')]) await writeFile(path, 'bytes');
  await spool.clear('a');
  await spool.clear('a');
  assert.deepEqual(await readdir(dirname(image.path)), ['b-image']);
});

test('leaves nothing of itself behind, whatever is in it', async () => {
  const spool = await open(root);
  const { path } = spool.file('a', 'folder');
  await mkdir(path);
  await writeFile(join(path, 'source'), 'bytes');
  await spool[Symbol.asyncDispose]();
  assert.deepEqual(await readdir(root), []);
});

test('sweeps what a dead gateway left, and nothing of a living one', async () => {
  await using living = await open(root);
  await writeFile(living.file('a', 'source').path, 'in use');
  const dead = join(root, 'dead');
  await mkdir(dead);
  await writeFile(join(dead, 'source'), 'forgotten');
  await writeFile(`${dead}.lock`, '');
  await writeFile(join(root, 'gone.lock'), '');
  await writeFile(join(root, 'notes.txt'), 'of somebody else');

  await using next = await open(root);
  assert.deepEqual(await next.adopt(), []);
  const names = await readdir(root);
  assert.equal(names.length, 5, names.join());
  assert.ok(names.includes('notes.txt') && !names.includes('dead') && !names.includes('dead.lock'));
  assert.equal(await readFile(living.file('a', 'source').path, 'utf8'), 'in use');
});

test('takes over what a dead gateway kept, and nothing of it that is not whole', async () => {
  const owner = randomUUID();
  const dead = await open(root);
  for (const name of ['kept', 'cut', 'begun', 'noted']) {
    await writeFile(dead.file(owner, name).path, 'bytes');
    if (name !== 'begun') await dead.keep(owner, name, note);
  }
  await writeFile(dead.file(owner, 'cut').path, 'byt');
  await writeFile(`${dead.file(owner, 'noted').path}.json`, '{');
  await dead[Symbol.asyncDispose]();

  await using heir = await open(root, 5);
  const [kept, ...more] = await heir.adopt();
  assert.ok(kept);
  assert.deepEqual([kept.owner, kept.name, kept.note, more], [owner, 'kept', note, []]);
  assert.equal(await readFile(kept.path, 'utf8'), 'bytes');
  assert.equal((await readdir(root)).length, 2);
  assert.deepEqual(await heir.adopt(), []);
  const full = heir.room(randomUUID(), AbortSignal.timeout(20));
  await assert.rejects(full, { name: 'AbortError' });
  await heir.clear(owner);
  assert.deepEqual(await readdir(dirname(kept.path)), []);
});

test('loses no kept file to whoever breaks off while it takes it over', async () => {
  const owner = randomUUID();
  const dead = await open(root);
  await writeFile(dead.file(owner, 'kept').path, 'bytes');
  await dead.keep(owner, 'kept', note);
  await dead[Symbol.asyncDispose]();

  const broken = await open(root);
  const folder = dirname(broken.file('other', 'source').path);
  // No note can be put in its place.
  await mkdir(join(folder, `${owner}-kept.json`, 'taken'), { recursive: true });
  await assert.rejects(broken.adopt());

  await using heir = await open(root);
  const [kept] = await heir.adopt();
  assert.deepEqual([kept?.owner, kept?.name, kept?.note], [owner, 'kept', note]);
  await broken[Symbol.asyncDispose]();
});

test('makes room where it can, as soon as it can', async () => {
  await using spool = await open(root, 100);
  spool.file('one', 'source').onBytes(100);
  let isSpare = false;
  spool.onFull(() => (isSpare ? spool.clear('one') : null));
  const room = spool.room('two', AbortSignal.timeout(10_000));
  isSpare = true;
  spool.changed();
  await room;
  assert.equal(spool.bytesOf('one', 'source'), 0);
});

test('lets nobody wait for room that is made for longer than they may', async () => {
  await using spool = await open(root, 100);
  spool.file('one', 'source').onBytes(100);
  spool.onFull(() => new Promise(() => {}));
  await assert.rejects(spool.room('two', AbortSignal.timeout(20)), { name: 'TimeoutError' });
});

test('can be opened by many gateways at once', async () => {
  await writeFile(join(parent, 'dead.lock'), '');
  const spools = await Promise.all(Array.from({ length: 8 }, () => open(parent)));
  await Promise.all(spools.map((spool) => spool.adopt()));
  for (const spool of spools) await writeFile(spool.file('a', 'source').path, 'bytes');
  for (const spool of spools) await spool[Symbol.asyncDispose]();
  assert.deepEqual(await readdir(parent), []);
});

test('lets another file begin when there is room for it', async () => {
  await using spool = await open(root, 100);
  const signal = AbortSignal.timeout(10_000);
  spool.file('one', 'source').onBytes(60);
  await spool.room('two', signal);
  const second = spool.file('two', 'source');
  second.onBytes(60);
  await spool.room('two', signal);
  let isRoom = false;
  const room = spool.room('three', signal).then(() => {
    isRoom = true;
  });
  await new Promise(setImmediate);
  assert.equal(isRoom, false);
  await spool.clear('one');
  await room;
  second.onBytes(200);
  const abort = new AbortController();
  const waiting = spool.room('three', abort.signal);
  abort.abort(new Error('enough'));
  await assert.rejects(waiting, { name: 'AbortError' });
});

test('removes one file of an owner and keeps the others, and what it took is free again', async () => {
  await using spool = await open(root, 100);
  const [image, mask] = [spool.file('a', 'image'), spool.file('a', 'mask')];
  for (const { path } of [image, mask]) await writeFile(path, 'bytes');
  image.onBytes(90);
  mask.onBytes(20);
  assert.equal(spool.bytesOf('a', 'image'), 90);
  const room = spool.room('b', AbortSignal.timeout(10_000));
  await spool.remove('a', 'image');
  await room;
  assert.equal(spool.bytesOf('a', 'image'), 0);
  assert.deepEqual(await readdir(dirname(mask.path)), ['a-mask']);
});

test('waits until the disk has room for so much', async () => {
  await using spool = await open(root);
  await spool.roomOnDisk(0, AbortSignal.timeout(10_000));
  const endless = spool.roomOnDisk(Number.MAX_SAFE_INTEGER, AbortSignal.timeout(100));
  await assert.rejects(endless, { name: 'AbortError' });
});
