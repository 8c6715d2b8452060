import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brokenPromises, type Ending, type Evidence } from './invariants.ts';
import type { Expected } from './recorder.ts';

const good: Ending = {
  id: 'a',
  state: 'completed',
  code: null,
  finishedAt: new Date(10_000),
  outputs: [{ key: 'a/x.png', size: 3, sha256: 'made' }],
  stages: 'upload success',
  events: [
    { number: 1, kind: 'submitted' },
    { number: 2, kind: 'begun' },
    { number: 3, kind: 'completed' },
  ],
  promptIds: ['p1', 'p2'],
};
const run = { promptId: 'p1', startedAt: 5_000, endedAt: 6_000, outcome: 'success' };
const second = { ...run, promptId: 'p2', startedAt: 7_000, endedAt: 8_000 };

function evidence(task: Partial<Ending>, changes: Partial<Evidence> = {}): Evidence {
  return {
    acknowledged: new Map([['a', 'completed']]),
    tasks: [{ ...good, ...task }],
    runs: [run],
    objects: new Map([['a/x.png', { size: 3, sha256: 'made' }]]),
    madeSha256: 'made',
    backendsDie: false,
    ...changes,
  };
}

function acknowledgedAs(expected: Expected): Partial<Evidence> {
  return { acknowledged: new Map([['a', expected]]) };
}

const [submitted, begun, completed] = good.events as [
  Ending['events'][number],
  Ending['events'][number],
  Ending['events'][number],
];
const twice = { ...completed, number: 4 };
const ended = { outputs: [], events: [submitted, { number: 2, kind: 'failed' } as const] };

const cases: [says: string, found: Evidence, broken: RegExp | null][] = [
  ['a task that completed', evidence({}), null],
  ['one that nobody was told of', evidence({}, { acknowledged: new Map() }), null],
  [
    'one that is gone',
    evidence({}, { acknowledged: new Map([['b', 'completed']]) }),
    /task b was acknowledged and is not on record/,
  ],
  [
    'one that failed',
    evidence({ ...ended, state: 'failed', code: 'internal' }),
    /is failed internal, expected completed/,
  ],
  [
    'a refusal',
    evidence({ ...ended, state: 'failed', code: 'source_refused' }, acknowledgedAs('refused')),
    null,
  ],
  ['a refusal that completed', evidence({}, acknowledgedAs('refused')), /expected refused/],
  ['a cancel that came too late', evidence({}, acknowledgedAs('completed or canceled')), null],
  ['a cancel that was confirmed', evidence({}, acknowledgedAs('canceled')), /expected canceled/],
  ['two ends', evidence({ events: [...good.events, twice] }), /has 2 ends/],
  [
    'something after the end',
    evidence({ events: [submitted, completed, { ...begun, number: 3 }] }),
    /has 1 ends|lacks/,
  ],
  ['a gap', evidence({ events: [submitted, completed] }), /lacks events/],
  ['a result that is not there', evidence({}, { objects: new Map() }), /is not in the store/],
  [
    'a result with a wrong bit',
    evidence({}, { objects: new Map([['a/x.png', { size: 3, sha256: 'other' }]]) }),
    /is not what was made/,
  ],
  ['no result', evidence({ outputs: [] }), /without a result/],
  ['a second run', evidence({}, { runs: [run, second] }), /ran 2 times/],
  [
    'a second run where the server died',
    evidence({}, { runs: [run, second], backendsDie: true }),
    null,
  ],
  [
    'a run long after the end',
    evidence(
      {},
      { runs: [run, { ...second, startedAt: 16_000, endedAt: 16_500, outcome: 'interrupted' }] },
    ),
    /ran after its task a had ended/,
  ],
  [
    'two runs at once',
    evidence(
      {},
      { runs: [run, { ...second, startedAt: 5_900, outcome: 'interrupted' }], backendsDie: true },
    ),
    /ran on two GPUs at once/,
  ],
  [
    'a second run beside one that went with its server',
    evidence({}, { runs: [{ ...run, endedAt: null, outcome: 'lost' }, second], backendsDie: true }),
    null,
  ],
  [
    'a run of nobody',
    evidence({}, { runs: [run, { ...run, promptId: 'p9' }] }),
    /prompt p9 is of no attempt/,
  ],
];

for (const [says, found, broken] of cases) {
  test(`${says} ${broken ? 'breaks a promise' : 'breaks none'}`, () => {
    const sentences = brokenPromises(found);
    if (broken) assert.match(sentences.join('\n'), broken);
    else assert.deepEqual(sentences, []);
  });
}
