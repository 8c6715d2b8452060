import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NodeCache, nodeKeys } from './node-cache.ts';
import type { Prompt } from './wire.ts';

const graph = (image: string, prefix: string): Prompt => ({
  1: { class_type: 'LoadImage', inputs: { image } },
  2: { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: prefix } },
});
const noFiles = new Map<string, string>();

test('a key changes with the inputs of the node and of its ancestors', () => {
  const keys = nodeKeys(graph('a.png', 'x'), noFiles);
  const other = nodeKeys(graph('a.png', 'y'), noFiles);
  assert.equal(keys.get('1'), other.get('1'));
  assert.notEqual(keys.get('2'), other.get('2'));
  assert.notEqual(keys.get('2'), nodeKeys(graph('b.png', 'x'), noFiles).get('2'));
});

test('a key does not change with the ids of the nodes', () => {
  const renamed: Prompt = {
    9: { class_type: 'SaveImage', inputs: { filename_prefix: 'x', images: ['7', 0] } },
    7: { class_type: 'LoadImage', inputs: { image: 'a.png' } },
  };
  assert.equal(
    nodeKeys(renamed, noFiles).get('9'),
    nodeKeys(graph('a.png', 'x'), noFiles).get('2'),
  );
});

test('a key holds the id of a node that asks to see it', () => {
  const combine = (id: string): Prompt => ({
    1: { class_type: 'LoadImage', inputs: { image: 'a.png' } },
    [id]: { class_type: 'VHS_VideoCombine', inputs: { images: ['1', 0] } },
  });
  assert.notEqual(
    nodeKeys(combine('2'), noFiles).get('2'),
    nodeKeys(combine('3'), noFiles).get('3'),
  );
});

test('a key changes with the content of the file, and a file that cannot be read never matches', () => {
  const keyWith = (print: string | null) =>
    nodeKeys(graph('a.png', 'x'), new Map([['1', print]])).get('2');
  assert.equal(keyWith('one'), keyWith('one'));
  assert.notEqual(keyWith('one'), keyWith('two'));
  assert.notEqual(keyWith(null), keyWith(null));
});

test('a part of the graph that is cyclic or dangling does no harm', () => {
  const odd: Prompt = {
    1: { class_type: 'ImageScaleBy', inputs: { image: ['2', 0] } },
    2: { class_type: 'ImageScaleBy', inputs: { image: ['1', 0] } },
    3: { class_type: 'ImageScaleBy', inputs: { image: ['77', 0] } },
  };
  assert.equal(nodeKeys(odd, noFiles).size, 3);
});

test('releases what nobody can use again, and keeps what was passed on', async () => {
  const released: string[] = [];
  const value = (name: string) => ({ release: async () => void released.push(name) });
  const [kept, passed, gone] = [value('kept'), value('passed'), value('gone')];
  const cache = new NodeCache();
  cache.set('a', { outputs: [kept], ui: null });
  cache.set('b', { outputs: [passed, gone], ui: null });
  cache.set('c', { outputs: [passed], ui: null });
  await cache.keepOnly(['a', 'c']);
  assert.deepEqual(released, ['gone']);
  await cache.keepOnly([]);
  assert.deepEqual(released.toSorted(), ['gone', 'kept', 'passed']);
});
