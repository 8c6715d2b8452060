import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GatewayError } from '../core/errors.ts';
import { realTempo } from '../core/tempo.ts';
import { ownEdition } from '../db/edition.ts';
import { BucketError } from '../storage/bucket-error.ts';
import { type ReadinessParts, ReadinessProbe } from './readiness.ts';

function probe(parts: Partial<ReadinessParts> = {}): ReadinessProbe {
  return new ReadinessProbe({
    database: { edition: async () => ownEdition },
    store: { stat: async () => null },
    pool: { isInService: true },
    stopping: new AbortController().signal,
    tempo: realTempo.http,
    ...parts,
  });
}

const failing = (error: Error) => ({ stat: async () => Promise.reject(error) });
const bucketError = (code: string, status: number | null) =>
  new BucketError({ code, status, requestId: null });

describe('a readiness probe', () => {
  it('passes where nothing is wrong', async () => {
    const { refusal, checks } = await probe().look();
    assert.equal(refusal, null);
    for (const { ok, reason } of Object.values(checks))
      assert.deepEqual([ok, reason], [true, null]);
  });

  it('refuses while the database is away, or has been changed, and when the gateway stops', async () => {
    const lost = Object.assign(new Error('no'), { code: 'ECONNREFUSED' });
    for (const [parts, ok] of [
      [{ database: { edition: () => Promise.reject(lost) } }, false],
      [{ database: { edition: async () => ownEdition + 1 } }, false],
      [{ stopping: AbortSignal.abort() }, true],
    ] as const) {
      const { refusal, checks } = await probe(parts).look();
      assert.equal(refusal?.code, 'unavailable');
      assert.equal(checks.database.ok, ok);
    }
  });

  it('tells of servers and of the store, and goes on', async () => {
    const { refusal, checks } = await probe({
      pool: { isInService: false },
      store: failing(bucketError('ECONNREFUSED', null)),
    }).look();
    assert.equal(refusal, null);
    assert.deepEqual(checks.servers, {
      ok: false,
      reason: 'None of the ComfyUI servers is in service',
    });
    assert.deepEqual(checks.store, { ok: false, reason: 'The object storage cannot be reached' });
  });

  it('takes a bucket for well that does not let itself be looked into', async () => {
    const { checks } = await probe({ store: failing(bucketError('Forbidden', 403)) }).look();
    assert.equal(checks.store.ok, true);
  });

  it('asks the store anew when what it knows is old, and whatever probes come no sooner', async () => {
    let asked = 0;
    const stat = async () => {
      asked += 1;
      throw new GatewayError('storage_full', 'The disk is full');
    };
    const often = probe({ store: { stat } });
    for (let count = 0; count < 3; count += 1) await often.look();
    assert.equal(asked, 1);
    const anew = probe({ store: { stat }, tempo: { ...realTempo.http, storeCheckHoldsMs: 0 } });
    for (let count = 0; count < 3; count += 1) await anew.look();
    assert.equal(asked, 4);
  });
});
