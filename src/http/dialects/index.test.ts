import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { clientIdOf } from './index.ts';
import { jobIdOf, newTaskId } from './upscale/job-id.ts';

describe('clientIdOf', () => {
  it('is the id as the clients of the dialect have it', () => {
    const uuid = 'f692edeb-41cb-4a3e-aebd-2db0044c0778';
    assert.equal(clientIdOf({ dialect: 'tmlsr', id: uuid }), uuid.replaceAll('-', ''));
    assert.equal(clientIdOf({ dialect: 'task-manager', id: uuid }), uuid);
    const job = newTaskId();
    assert.equal(clientIdOf({ dialect: 'upscale', id: job }), jobIdOf(job));
    assert.equal(
      clientIdOf({ dialect: 'upscale', id: uuid }),
      uuid,
      'of before there were job ids',
    );
  });
});
