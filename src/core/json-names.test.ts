import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hasProtoKey } from './json-names.ts';

describe('hasProtoKey', () => {
  for (const [json, isFound] of [
    ['{"__proto__": 1}', true],
    ['{"a": [{"b": {"__proto__": {}}}]}', true],
    ['{"\\u005f_proto__": 1}', true],
    ['{"__\\u0050roto__": 1}', false],
    ['{"__pr\\u006Fto__": null}', true],
    ['{"a": "__proto__"}', false],
    ['["__proto__"]', false],
    ['{"_proto_": 1, "constructor": 2}', false],
    ['{"__proto__": ', false],
    ['', false],
  ] as const) {
    it(`is ${isFound} for ${json}`, () => assert.equal(hasProtoKey(json), isFound));
  }
});
