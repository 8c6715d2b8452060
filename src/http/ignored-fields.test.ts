import assert from 'node:assert/strict';
import { test } from 'node:test';
import { namesWritten, unknownFields } from './ignored-fields.ts';

test('names of fields that there are not are refused where that is wished', () => {
  assert.deepEqual(unknownFields(['url', 'type'], ['url', 'type'], true), []);
  assert.throws(() => unknownFields(['url', 'typ'], ['url', 'type'], true), {
    code: 'invalid_request',
    field: 'typ',
    message: 'typ: is no field of this request; did you mean "type"?',
  });
});

test('a field that is null says nothing', () => {
  assert.deepEqual(namesWritten({ url: 'x', resolution: null, quality: 0, target: '' }), [
    ...['url', 'quality', 'target'],
  ]);
});
