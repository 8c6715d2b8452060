import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CircuitBreaker } from './circuit-breaker.ts';

describe('CircuitBreaker', () => {
  it('opens at the third failure in a row, and not before', () => {
    const breaker = new CircuitBreaker();
    assert.deepEqual([breaker.fail(), breaker.fail()], [false, false]);
    breaker.succeed();
    assert.deepEqual([breaker.fail(), breaker.fail(), breaker.fail()], [false, false, true]);
    assert.ok(breaker.isOpen);
  });

  it('closes when the trial succeeds', () => {
    const breaker = new CircuitBreaker();
    breaker.trip();
    breaker.tryOut();
    assert.ok(breaker.isHalfOpen);
    breaker.succeed();
    assert.ok(!breaker.isOpen && !breaker.isHalfOpen);
    assert.equal(breaker.fail(), false);
  });

  it('stays open when a task ends well that had begun before', () => {
    const breaker = new CircuitBreaker();
    breaker.trip();
    breaker.succeed();
    assert.ok(breaker.isOpen);
    assert.equal(breaker.restMs, 5_000);
  });

  it('rests twice as long after each trial that fails, up to five minutes', () => {
    const breaker = new CircuitBreaker();
    breaker.trip();
    const rests = [];
    for (let i = 0; i < 8; i += 1) {
      rests.push(breaker.restMs / 1_000);
      breaker.tryOut();
      assert.equal(breaker.fail(), true);
    }
    assert.deepEqual(rests, [5, 10, 20, 40, 80, 160, 300, 300]);
  });
});
