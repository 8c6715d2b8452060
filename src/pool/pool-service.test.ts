import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { OperatorAct } from '../core/operator-event.ts';
import { PoolService, type PoolServiceParts } from './pool-service.ts';

it('puts on record which models went before the caller left', async () => {
  const caller = new AbortController();
  const recorded: OperatorAct[] = [];
  const warm = [
    { label: 'http://a:8188', unload: async () => true },
    { label: 'http://b:8188', unload: async () => false },
    {
      label: 'http://c:8188',
      unload: async (signal: AbortSignal) => {
        caller.abort(new Error('left'));
        return signal.throwIfAborted();
      },
    },
  ].map((backend) => ({ workflow: 'denoise', backend }));
  const parts = {
    wholePool: { warmFor: () => warm },
    audit: { record: async (act: OperatorAct) => void recorded.push(act) },
  };
  const service = new PoolService(parts as unknown as PoolServiceParts);
  await assert.rejects(service.unload('ops', ['denoise'], caller.signal), { message: 'left' });
  const unloaded = [{ workflow: 'denoise', backend: 'http://a:8188' }];
  assert.deepEqual(recorded, [
    { actor: 'ops', kind: 'models_unloaded', subject: '', body: { unloaded } },
  ]);
});
