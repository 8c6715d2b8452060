import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { GatewayError } from '../../core/errors.ts';
import { realTempo } from '../../core/tempo.ts';
import { type Spooling, waitingForRoom } from './wait-for-room.ts';

const never = new AbortController().signal;
const full = new GatewayError('spool_full', 'There is no room');

/** A spool whose disk has room as soon as it is asked, and what was done with it. */
function spooling() {
  const steps: string[] = [];
  const parts: Spooling = {
    owner: 'attempt',
    name: 'image',
    onWaiting: () => steps.push('waiting'),
    tempo: { ...realTempo.spool, firstPauseMs: 1 },
    spool: {
      bytesOf: () => 7,
      remove: async (owner, name) => void steps.push(`removed ${owner} ${name}`),
      roomOnDisk: async (bytes) => void steps.push(`room for ${bytes}`),
    },
  };
  return { parts, steps };
}

test('writes a file once there is room for what it had, and keeps nothing until then', async () => {
  const { parts, steps } = spooling();
  const timeout = mock.method(AbortSignal, 'timeout', () => never);
  let tries = 0;
  const written = await waitingForRoom(parts, never, async () => {
    tries += 1;
    assert.equal(timeout.mock.callCount(), tries - 1, 'its patience begins when the disk is full');
    if (tries === 1) throw full;
    return 'written';
  });
  timeout.mock.restore();
  assert.equal(written, 'written');
  assert.deepEqual(steps, ['removed attempt image', 'waiting', 'room for 7']);
});

test('does not repeat what failed for another reason', async () => {
  const { parts, steps } = spooling();
  const failure = new GatewayError('source_not_found', 'It is not there');
  const write = () => Promise.reject(failure);
  await assert.rejects(waitingForRoom(parts, never, write), failure);
  assert.deepEqual(steps, []);
});

test('ends with the reason of an abort', async () => {
  const { parts } = spooling();
  const abort = new AbortController();
  const reason = new Error('enough');
  const waiting = waitingForRoom(
    { ...parts, onWaiting: () => abort.abort(reason) },
    abort.signal,
    () => Promise.reject(full),
  );
  await assert.rejects(waiting, reason);
});
