import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sleepGraph } from '../../test/support/test-workflows.ts';
import type { BackendReport } from '../core/backend.ts';
import { parseWorkflow } from '../workflows/parse.ts';
import type { BackendRecord } from './backend-store.ts';
import { WholePool } from './whole-pool.ts';

const sleep = parseWorkflow(
  { name: 'sleep', text: JSON.stringify(sleepGraph(1)), meta: null },
  null,
);
const reasons = ['It has no node class EmulatorSleep'];

const report: BackendReport = {
  state: 'idle',
  reason: 'connected',
  since: '2026-01-01T00:00:00.000Z',
  lastActiveAt: null,
  version: null,
  devices: [],
  task: null,
  nextTask: null,
  warm: null,
  busyShare: 0,
  cannotRun: {},
  isKnown: true,
};

/** A backend that another gateway drives, or none (`owner: null`). */
function record(
  label: string,
  told: Partial<BackendReport> | null,
  changes: Partial<BackendRecord> = {},
): BackendRecord {
  return {
    label,
    url: null,
    inputDir: null,
    wanted: 'active',
    owner: 'other',
    report: told && { ...report, ...told },
    ...changes,
  };
}

function poolOf(...records: BackendRecord[]): WholePool {
  return poolWith(0, records);
}

/** `emptyNames`: so many DNS names stand for no server at present. */
function poolWith(emptyNames: number, records: readonly BackendRecord[]): WholePool {
  return new WholePool({ pool: { get: () => null }, membership: { records, emptyNames } });
}

describe('WholePool, of what other gateways report', () => {
  it('tells where a workflow can run, and why not elsewhere', () => {
    const pool = poolOf(
      record('idle', {}),
      record('away', { state: 'offline' }),
      record('lacking', { cannotRun: { sleep: reasons } }),
      record('unknown', { isKnown: false }),
      record('unreported', null),
      record('removed', {}, { wanted: 'removed' }),
    );
    assert.deepEqual(pool.fitness(sleep), {
      able: 2,
      inService: 1,
      unable: new Map([['lacking', reasons]]),
      total: 5,
    });
    assert.deepEqual(pool.fitness(sleep, ['away', 'lacking']), {
      able: 1,
      inService: 1,
      unable: new Map(),
      total: 3,
    });
  });

  it('counts on a name that has no addresses as on a server that nobody has reached', () => {
    const lacking = record('lacking', { cannotRun: { sleep: reasons } });
    const { unable, total } = poolWith(1, [lacking]).fitness(sleep);
    assert.deepEqual([unable.size, total], [1, 2]);
  });

  const elsewhere = [
    { says: 'one that is idle', other: record('other', {}), expected: true },
    { says: 'one that is busy', other: record('other', { state: 'busy' }), expected: true },
    { says: 'one that drains', other: record('other', { state: 'draining' }), expected: false },
    {
      says: 'one that nobody drives',
      other: record('other', {}, { owner: null }),
      expected: false,
    },
    { says: 'one that never reported', other: record('other', null), expected: false },
    {
      says: 'one that lacks a node',
      other: record('other', { cannotRun: { sleep: reasons } }),
      expected: false,
    },
  ];
  for (const { says, other, expected } of elsewhere) {
    it(`${expected ? 'counts on' : 'counts not on'} ${says}`, () => {
      const pool = poolOf(record('here', {}), other);
      assert.equal(pool.canRunElsewhere(sleep, ['here']), expected);
    });
  }

  it('tells which take no input so large, where a limit is known', () => {
    const pool = poolOf(
      record('small', { maxInputBytes: 100 }),
      record('large', { maxInputBytes: 101 }),
      record('unlimited', { maxInputBytes: null }),
      record('older', {}),
      record('unreported', null),
    );
    assert.deepEqual(pool.tooSmallFor(101), ['small']);
  });

  it('tells how wrong the best of others gets a source, of those that could have the task', () => {
    const old = record('old', { version: '0.3.64' });
    const misread = (version: string | null) => (version === '0.3.64' ? 2 : 1);
    const least = (...others: BackendRecord[]) =>
      poolOf(old, ...others).leastMisread(sleep, misread, { than: ['avoided'], bytes: 100 });
    const version = '0.33.0';
    assert.equal(least(), 2);
    assert.equal(least(record('new', { version })), 1);
    assert.equal(least(record('large', { version, maxInputBytes: 100 })), 1);
    assert.equal(
      least(
        record('avoided', { version }),
        record('small', { version, maxInputBytes: 99 }),
        record('away', { version, state: 'offline' }),
        record('undriven', { version }, { owner: null }),
        record('lacking', { version, cannotRun: { sleep: reasons } }),
        record('unreported', null),
      ),
      2,
    );
    const none = poolOf().leastMisread(sleep, misread, { than: [], bytes: 0 });
    assert.equal(none, Number.POSITIVE_INFINITY);
  });

  it('tells which have the models of some workflows in memory', () => {
    const pool = poolOf(
      record('warm', { warm: 'sleep' }),
      record('other', { warm: 'upscale' }),
      record('cold', {}),
      record('unreported', null),
    );
    assert.deepEqual(pool.warmFor(['sleep', 'denoise']), [{ workflow: 'sleep', backend: null }]);
  });
});
