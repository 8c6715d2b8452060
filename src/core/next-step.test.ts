import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { type ErrorCode, GatewayError } from './errors.ts';
import {
  type FailedAttempt,
  failureRules,
  isOfFirstTask,
  nextStep,
  ruleFor,
  ruleOf,
} from './next-step.ts';
import type { StageName } from './stage.ts';

const policy = {
  maxAttempts: 3,
  tempo: { firstPauseMs: 1_000, longestPauseMs: 1_500 },
};

function failed(code: ErrorCode, change: Partial<FailedAttempt> = {}): FailedAttempt {
  const failure = new GatewayError(code, '');
  return { failure, stage: 'process', retries: 0, past: [], others: 'ready', ...change };
}

function before(code: ErrorCode, stage: StageName = 'process') {
  return { backend: 'http://a', error: { code, message: '', stage, attempt: 1 } };
}

describe('nextStep', () => {
  const cases: [code: ErrorCode, retries: number, becomes: 'fail' | 'retry'][] = [
    ['invalid_request', 0, 'fail'],
    ['source_not_found', 0, 'fail'],
    ['source_timeout', 0, 'fail'],
    ['source_interrupted', 0, 'retry'],
    ['source_interrupted', 2, 'fail'],
    ['media_corrupt', 0, 'fail'],
    ['run_timeout', 0, 'fail'],
    ['backend_unreachable', 0, 'retry'],
    ['backend_unreachable', 1, 'retry'],
    ['backend_unreachable', 2, 'fail'],
    ['prompt_lost', 1, 'retry'],
    ['backend_stalled', 1, 'retry'],
    ['backend_wedged', 2, 'fail'],
    ['execution_failed', 0, 'retry'],
    ['execution_failed', 1, 'fail'],
    ['out_of_memory', 0, 'retry'],
    ['out_of_memory', 1, 'fail'],
    ['prompt_rejected', 0, 'retry'],
    ['prompt_rejected', 1, 'fail'],
    ['storage_failed', 0, 'fail'],
    ['storage_full', 0, 'fail'],
    ['attempts_exhausted', 0, 'fail'],
    ['internal', 0, 'retry'],
    ['internal', 1, 'fail'],
  ];
  for (const [code, retries, becomes] of cases) {
    it(`lets ${code} after ${retries} retries ${becomes}`, () => {
      assert.equal(nextStep(failed(code, { retries }), 0, policy).kind, becomes);
    });
  }

  it('waits longer each time, up to a limit, never twice the same', () => {
    const afterMs = (retries: number, random: number) => {
      const step = nextStep(failed('backend_failed', { retries }), random, policy);
      return step.kind === 'retry' ? step.afterMs : null;
    };
    assert.deepEqual([afterMs(0, 0), afterMs(0, 0.5), afterMs(1, 0)], [500, 750, 750]);
  });

  for (const code of ['workflow_unsupported', 'backend_upload_refused'] as const) {
    it(`after ${code} tries every backend that might do it, and no other`, () => {
      const step = nextStep(failed(code, { retries: 2 }), 0, policy);
      assert.deepEqual(step, { kind: 'retry', afterMs: 0, elsewhere: true, counts: false });
      const nowhere = failed(code, { others: 'none' });
      assert.equal(nextStep(nowhere, 0, policy).kind, 'fail');
      const away = nextStep(failed(code, { others: 'away' }), 1, policy);
      const { longestPauseMs: afterMs } = policy.tempo;
      assert.deepEqual(away, { kind: 'retry', afterMs, elsewhere: true, counts: false });
    });
  }

  it('takes what is not supported of one source for a fault of that source', () => {
    const failure = new GatewayError('workflow_unsupported', 'a turned clip', { field: 'input' });
    const step = (retries: number) =>
      nextStep({ ...failed('internal', { retries, others: 'ready' }), failure }, 0, policy);
    assert.deepEqual(step(0), { kind: 'retry', afterMs: 500, elsewhere: true, counts: true });
    assert.deepEqual(step(1), { kind: 'fail' });
    assert.equal(ruleFor(failure).verdict, 'none');
    assert.equal(ruleFor(new GatewayError('workflow_unsupported', 'no node')).verdict, 'unable');
  });

  it('waits for a full disk as long as it takes, and counts none of that', () => {
    const step = nextStep(failed('spool_full', { retries: 2 }), 0.5, policy);
    assert.deepEqual(step, { kind: 'retry', afterMs: 1_125, elsewhere: false, counts: false });
  });

  it('sets a task aside that two servers went down with', () => {
    const second = failed('prompt_lost', { retries: 1, past: [before('prompt_lost')] });
    assert.deepEqual(nextStep(second, 0, policy), { kind: 'fail', isPoison: true });
    // One that was only out of reach may be well.
    const unlucky = failed('prompt_lost', { retries: 1, past: [before('backend_unreachable')] });
    assert.equal(nextStep(unlucky, 0, policy).kind, 'retry');
  });

  it('never tries more often than the policy allows', () => {
    const once = { ...policy, maxAttempts: 1 };
    for (const [code] of cases) assert.equal(nextStep(failed(code), 0, once).kind, 'fail');
  });
});

describe('docs/failures.md', () => {
  const text = readFileSync(new URL('../../docs/failures.md', import.meta.url), 'utf8');
  const rows = text
    .slice(text.indexOf('| code |'))
    .trim()
    .split('\n')
    .slice(2)
    .map((line) => line.split('|').map((cell) => cell.trim()));
  const told = rows.map(([, code = '', fault, attempts, elsewhere, verdict]) => ({
    code: code.replaceAll('`', ''),
    fault,
    rule: { attempts, elsewhere, verdict },
  }));
  const inWords = (code: ErrorCode) => {
    const { attempts, elsewhere, verdict } = ruleOf(code);
    return { attempts: String(attempts), elsewhere: elsewhere ? 'yes' : 'no', verdict };
  };

  it('tells every rule as it is, and no other', () => {
    const codes = Object.keys(failureRules) as ErrorCode[];
    const rules = codes.map((code) => {
      return { code, fault: new GatewayError(code, '').fault, rule: inWords(code) };
    });
    const classes = [
      { code: 'every code of the client', fault: 'client', rule: inWords('run_timeout') },
      { code: 'every other code of the source', fault: 'source', rule: inWords('source_timeout') },
    ];
    assert.deepEqual(told, [...classes, ...rules]);
  });

  it('gives a reason for each', () => {
    for (const row of rows) assert.match(row[6] ?? '', /^[A-Z].*\.$/, row[1]);
  });

  it('explains every verdict', () => {
    for (const { rule } of told) assert.ok(text.includes(`\n| ${rule.verdict} | `), rule.verdict);
  });
});

describe('isOfFirstTask', () => {
  const table = [
    [{ stage: 'download', code: 'source_not_found' }, true],
    [{ stage: 'download', code: 'media_corrupt' }, true],
    [{ stage: 'process', code: 'run_timeout' }, true],
    [{ stage: 'process', code: 'execution_failed' }, false],
    [{ stage: 'upload', code: 'storage_failed' }, false],
    [{ stage: null, code: 'attempts_exhausted' }, false],
  ] as const;
  for (const [error, expected] of table) {
    it(`is ${expected} of ${error.code} in ${error.stage}`, () => {
      assert.equal(isOfFirstTask(error), expected);
    });
  }
});
