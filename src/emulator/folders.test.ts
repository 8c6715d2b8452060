import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { coreCounter, isInside, nextOutput, parseAnnotation, vhsCounter } from './folders.ts';
import { freeName } from './upload.ts';

async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'tmlsr-folders-'));
  try {
    await body(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

test('counts on from the greatest number of a prefix', async () => {
  await withFolder(async (folder) => {
    const first = await nextOutput(folder, 'gw/attempt/out');
    assert.deepEqual([first.subfolder, first.prefix, first.counter], ['gw/attempt', 'out', 1]);
    for (const name of ['out_00001_.png', 'out_00007_.png', 'out_x_.png', 'outer_00099_.png']) {
      await writeFile(path.join(first.folder, name), '');
    }
    assert.equal((await nextOutput(folder, 'gw/attempt/out')).counter, 8);
  });
});

test('saves nothing outside its folder', async () => {
  await withFolder(async (folder) => {
    for (const prefix of ['../x', '/elsewhere/x', 'a/../../x']) {
      await assert.rejects(nextOutput(folder, prefix), /outside the output folder is not allowed/);
    }
  });
});

test('reads the numbers of both ways of naming', () => {
  assert.equal(coreCounter('out', 'out_00012_.png'), 12);
  assert.equal(coreCounter('out', 'out_00012.png'), 0);
  assert.equal(vhsCounter('out', 'out_00012.mp4'), 12);
  assert.equal(vhsCounter('out', 'out_00012-audio.mp4'), 12);
  assert.equal(vhsCounter('out', 'output_00012.mp4'), 0);
});

test('knows inside from outside', () => {
  assert.ok(isInside('/a/b', '/a/b/c/d'));
  assert.ok(isInside('/a/b', '/a/b/..c'));
  assert.ok(!isInside('/a/b', '/a/bc'));
  assert.ok(!isInside('/a/b', '/a'));
});

test('takes the folder from the end of a name', () => {
  assert.deepEqual(parseAnnotation('o.png [output]'), { name: 'o.png', type: 'output' });
  assert.deepEqual(parseAnnotation('with [output].png'), { name: 'with [output].png', type: null });
});

test('numbers an upload whose name is taken, unless its bytes are there', async () => {
  await withFolder(async (folder) => {
    const spool = path.join(folder, 'spool');
    const put = (name: string, text: string) => writeFile(path.join(folder, name), text);
    await put('a.b.png', 'one');
    await put('a.b (1).png', 'two');
    for (const [bytes, name, isThere] of [
      ['one', 'a.b.png', true],
      ['two', 'a.b (1).png', true],
      ['six', 'a.b (2).png', false],
      ['other', 'a.b (2).png', false],
    ] as const) {
      await put('spool', bytes);
      assert.deepEqual(await freeName(folder, 'a.b.png', spool), { name, isThere });
    }
  });
});
