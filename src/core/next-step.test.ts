import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ErrorCode, GatewayError } from './errors.ts';
import { nextStep } from './next-step.ts';

const policy = { maxAttempts: 3, baseDelayMs: 1_000, maxDelayMs: 1_500 };

describe('nextStep', () => {
  const cases: [code: ErrorCode, attempt: number, becomes: 'fail' | 'retry'][] = [
    ['invalid_request', 1, 'fail'],
    ['source_not_found', 1, 'fail'],
    ['source_timeout', 1, 'fail'],
    ['media_corrupt', 1, 'fail'],
    ['backend_unreachable', 1, 'retry'],
    ['backend_unreachable', 2, 'retry'],
    ['backend_unreachable', 3, 'fail'],
    ['prompt_lost', 2, 'retry'],
    ['execution_failed', 1, 'retry'],
    ['execution_failed', 2, 'fail'],
    ['out_of_memory', 2, 'fail'],
    ['prompt_rejected', 1, 'retry'],
    ['backend_upload_refused', 1, 'fail'],
    ['storage_failed', 1, 'fail'],
    ['attempts_exhausted', 4, 'fail'],
    ['internal', 1, 'retry'],
    ['internal', 2, 'fail'],
  ];
  for (const [code, attempt, becomes] of cases) {
    it(`lets ${code} in attempt ${attempt} ${becomes}`, () => {
      assert.equal(nextStep(new GatewayError(code, ''), attempt, 0, policy).kind, becomes);
    });
  }

  it('waits longer each time, up to a limit, never twice the same', () => {
    const failure = new GatewayError('prompt_lost', '');
    assert.deepEqual(nextStep(failure, 1, 0, policy), { kind: 'retry', afterMs: 500 });
    assert.deepEqual(nextStep(failure, 1, 0.5, policy), { kind: 'retry', afterMs: 750 });
    assert.deepEqual(nextStep(failure, 2, 0, policy), { kind: 'retry', afterMs: 750 });
  });
});
