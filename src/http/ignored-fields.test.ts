import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unknownFields } from './ignored-fields.ts';

test('names of fields that there are not are refused where that is wished', () => {
  assert.deepEqual(unknownFields(['url', 'type'], ['url', 'type'], true), []);
  assert.throws(() => unknownFields(['url', 'typ'], ['url', 'type'], true), {
    code: 'invalid_request',
    field: 'typ',
    message: 'typ: is no field of this request; did you mean "type"?',
  });
});
