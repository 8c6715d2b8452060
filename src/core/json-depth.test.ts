import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { deepestJson, isTooDeep } from './json-depth.ts';

const lists = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
const objects = (depth: number) => '{"a":'.repeat(depth) + '0'.concat('}'.repeat(depth));

describe('the depth of JSON', () => {
  const table: [name: string, json: string, isDeep: boolean][] = [
    ['as many lists as there may be', lists(deepestJson), false],
    ['one list more', lists(deepestJson + 1), true],
    ['as many objects as there may be', objects(deepestJson), false],
    ['one object more', objects(deepestJson + 1), true],
    ['lists and objects in turn', '[{"a":'.repeat(251), true],
    ['a text of brackets', JSON.stringify({ a: '[{'.repeat(1_000) }), false],
    ['escaped quotes before brackets', JSON.stringify(['"'.repeat(9), '\\"[['.repeat(500)]), false],
    ['brackets behind an escaped backslash', `["\\\\",${lists(deepestJson)}]`, true],
    ['brackets behind a text', `["a\\"",${lists(deepestJson)}]`, true],
    ['many lists beside each other', `[${'[],'.repeat(1_000)}[]]`, false],
    ['what never ends', '['.repeat(100_000), true],
    ['a text that never ends', `"${'['.repeat(1_000)}`, false],
    ['nothing', '', false],
  ];
  for (const [name, json, isDeep] of table) {
    it(`is ${isDeep ? 'too great' : 'no trouble'}: ${name}`, () => {
      assert.equal(isTooDeep(json), isDeep);
    });
  }
});
