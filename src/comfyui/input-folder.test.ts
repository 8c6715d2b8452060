import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it, type TestContext } from 'node:test';
import { InputFolder } from './input-folder.ts';

const { signal } = new AbortController();

describe('InputFolder', () => {
  let root: string;
  let folder: InputFolder;

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'tmlsr-input-'));
    folder = new InputFolder(root);
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  async function fileIn(place: string, text: string) {
    const path = join(place, 'spooled');
    await writeFile(path, text);
    const named = { name: 'image.png', subfolder: 'tmlsr/a', contentType: 'image/png' };
    return { ...named, path, size: text.length };
  }

  it('links the file, and leaves no other name behind when it is put twice', async () => {
    const file = await fileIn(root, 'bytes');
    for (let i = 0; i < 2; i += 1) {
      assert.equal(await folder.put(file, signal), 'tmlsr/a/image.png');
    }
    assert.deepEqual(await readdir(join(root, 'tmlsr/a')), ['image.png']);
    const [from, to] = [await stat(file.path), await stat(join(root, 'tmlsr/a/image.png'))];
    assert.equal(from.ino, to.ino);
    await rm(file.path);
    assert.equal(await readFile(join(root, 'tmlsr/a/image.png'), 'utf8'), 'bytes');
    await folder.remove('tmlsr/a');
    await folder.remove('tmlsr/a');
    assert.deepEqual(await readdir(join(root, 'tmlsr')), []);
  });

  it('copies the file where it lies on another file system', async (t: TestContext) => {
    const elsewhere = await mkdtemp('/dev/shm/tmlsr-').catch(() => null);
    if (!elsewhere || (await stat(elsewhere)).dev === (await stat(root)).dev) {
      return t.skip('there is no other file system');
    }
    t.after(() => rm(elsewhere, { recursive: true }));
    await folder.put(await fileIn(elsewhere, 'bytes'), signal);
    assert.equal(await readFile(join(root, 'tmlsr/a/image.png'), 'utf8'), 'bytes');
    assert.deepEqual(await readdir(join(root, 'tmlsr/a')), ['image.png']);
  });

  it('leaves nothing where the file cannot be put', async () => {
    const file = { ...(await fileIn(root, '')), path: join(root, 'missing') };
    await assert.rejects(folder.put(file, signal), { code: 'ENOENT' });
    assert.deepEqual(await readdir(join(root, 'tmlsr/a')), []);
  });

  it('sweeps what is older than a day', async () => {
    for (const [name, ageHours] of [
      ['young', 23],
      ['old', 25],
    ] as const) {
      const path = join(root, 'tmlsr', name);
      await mkdir(path, { recursive: true });
      const at = Date.now() / 1_000 - ageHours * 3_600;
      await utimes(path, at, at);
    }
    await folder.sweep();
    assert.deepEqual(await readdir(join(root, 'tmlsr')), ['young']);
  });
});
