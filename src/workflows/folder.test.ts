import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../core/errors.ts';
import { translateRefusal } from './folder.ts';

const refusals: [system: string, code: string][] = [
  ['EACCES', 'workflows_read_only'],
  ['EPERM', 'workflows_read_only'],
  ['EROFS', 'workflows_read_only'],
  ['ENOSPC', 'storage_full'],
  ['EDQUOT', 'storage_full'],
];

for (const [system, code] of refusals) {
  test(`a folder that refuses a change with ${system} is ${code}`, () => {
    const error = Object.assign(new Error(`${system}: '/srv/workflows/x.json'`), { code: system });
    const told = translateRefusal(error);
    assert.ok(told instanceof GatewayError);
    assert.equal(told.code, code);
    assert.doesNotMatch(told.message, /srv/);
  });
}

test('any other failure of a folder stays what it is', () => {
  const error = Object.assign(new Error('EIO'), { code: 'EIO' });
  assert.equal(translateRefusal(error), error);
});
