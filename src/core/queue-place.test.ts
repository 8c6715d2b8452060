import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Ahead, begunBefore, countOf } from './queue-place.ts';

const durations = new Map([
  ['short', 1_000],
  ['long', 60_000],
]);

function ahead(tenant: string, count: number, change: Partial<Ahead> = {}): Ahead {
  return { tenant, workflow: 'short', isPeer: true, count, ...change };
}

describe('begunBefore', () => {
  const long = { workflow: 'long' };
  const table: { says: string; ahead: Ahead[]; workflow?: string; count: number }[] = [
    { says: 'nothing where nobody came before', ahead: [], count: 0 },
    { says: 'all of its own tenant', ahead: [ahead('me', 7)], count: 7 },
    { says: 'one of a tenant that has a thousand', ahead: [ahead('many', 1_000)], count: 1 },
    {
      says: 'one of each tenant, before the first of its own',
      ahead: [ahead('a', 1_000), ahead('b', 5), ahead('c', 1)],
      count: 3,
    },
    {
      says: 'as many of another as of its own, with itself',
      ahead: [ahead('me', 9), ahead('many', 1_000)],
      count: 19,
    },
    {
      says: 'no more of another than there are',
      ahead: [ahead('me', 9), ahead('few', 4)],
      count: 13,
    },
    {
      says: 'all of another priority, which does not share',
      ahead: [ahead('many', 300, { isPeer: false }), ahead('many', 1_000)],
      count: 301,
    },
    {
      says: 'few of a tenant whose runs are long',
      ahead: [ahead('me', 119), ahead('many', 1_000, long)],
      count: 121,
    },
    {
      says: 'many of a tenant whose runs are short',
      ahead: [ahead('many', 1_000)],
      workflow: 'long',
      count: 60,
    },
    {
      says: 'as many, where nothing is known of a workflow',
      ahead: [ahead('me', 9), ahead('many', 1_000, { workflow: 'new' })],
      workflow: 'long',
      count: 19,
    },
  ];
  for (const { says, ahead, workflow = 'short', count } of table) {
    it(`counts ${says}`, () => {
      assert.equal(countOf(begunBefore(ahead, { tenant: 'me', workflow }, durations)), count);
    });
  }

  it('takes of each workflow of another tenant alike', () => {
    const mixed = [ahead('me', 60), ahead('many', 90), ahead('many', 10, long)];
    const begun = begunBefore(mixed, { tenant: 'me', workflow: 'short' }, durations);
    // 100 runs last 690 s: nine of them as long as the tenant's own.
    assert.deepEqual(
      begun.map(({ workflow, count }) => [workflow, Math.round(count * 100) / 100]),
      [
        ['short', 60],
        ['short', 8.1],
        ['long', 0.9],
      ],
    );
  });
});
