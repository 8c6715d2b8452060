import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ErrorCode, GatewayError } from '../../core/errors.ts';
import { realTempo } from '../../core/tempo.ts';
import { isWantOfRoom, TransferPatience } from './transfer-patience.ts';

const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;

const failure = (code: ErrorCode) => new GatewayError(code, code);

/** The code of the failure that is final, when each try fails with what `next` says; else `null`. */
function givesUp(
  next: (tries: number, now: number) => ErrorCode,
  untilMs: number,
): { readonly code: ErrorCode; readonly at: number } | null {
  const patience = new TransferPatience(realTempo.transfer);
  for (let [tries, now] = [0, 0]; now < untilMs; tries += 1) {
    const code = next(tries, now);
    const pauseMs = patience.pauseMs(failure(code), now);
    if (pauseMs === null) return { code, at: now };
    now += pauseMs;
  }
  return null;
}

describe('how long a transfer is repeated', () => {
  const windows: [code: ErrorCode, ms: number][] = [
    ['backend_unreachable', minute],
    ['output_truncated', minute],
    ['storage_failed', 10 * minute],
    ['target_failed', 10 * minute],
    ['spool_full', 24 * hour],
    ['storage_full', 24 * hour],
  ];
  for (const [code, ms] of windows) {
    it(`waits ${ms / minute} min for ${code}, and no longer`, () => {
      const { at } = givesUp(() => code, 2 * ms) ?? {};
      assert.ok(at !== undefined && at > ms - 2 * minute && at <= ms, String(at));
    });
  }

  for (const code of ['output_missing', 'target_refused', 'media_too_large'] as const) {
    it(`repeats nothing for ${code}`, () => {
      assert.equal(new TransferPatience(realTempo.transfer).pauseMs(failure(code), 0), null);
    });
  }

  it('repeats nothing for what is no known failure', () => {
    assert.equal(new TransferPatience(realTempo.transfer).pauseMs(new Error('a bug'), 0), null);
  });

  it('waits a full window for a connection that is lost after hours of a full store', () => {
    const patience = new TransferPatience(realTempo.transfer);
    for (let now = 0; now < 20 * hour; now += minute)
      patience.pauseMs(failure('storage_full'), now);
    const lost = failure('backend_unreachable');
    assert.equal(patience.pauseMs(lost, 20 * hour), second);
    assert.equal(patience.pauseMs(lost, 20 * hour + 30 * second), 4 * second);
    assert.equal(patience.pauseMs(lost, 20 * hour + 61 * second), null);
  });

  it('waits its whole day for room, whatever else fails in between', () => {
    const mix = (tries: number): ErrorCode => (tries % 5 === 4 ? 'backend_failed' : 'storage_full');
    const { code, at } = givesUp(mix, 48 * hour) ?? {};
    assert.equal(code, 'storage_full');
    assert.ok(at !== undefined && at > 23 * hour && at <= 24 * hour, String(at));
  });

  it('gives up what fails by turns for two causes', () => {
    const { code, at } =
      givesUp((tries) => (tries % 2 === 0 ? 'output_truncated' : 'storage_failed'), hour) ?? {};
    assert.equal(code, 'storage_failed');
    assert.ok(at !== undefined && at <= 10 * minute, String(at));
  });

  it('begins anew when a try moves noticeably more than any before, and only then', () => {
    const patience = new TransferPatience(realTempo.transfer);
    const lost = failure('output_truncated');
    patience.moved(0.1);
    assert.equal(patience.pauseMs(lost, 0), second);
    patience.moved(0.2);
    assert.equal(patience.pauseMs(lost, 2 * minute), second);
    patience.moved(0.201);
    assert.equal(patience.pauseMs(lost, 4 * minute), null);
  });

  it('knows a full disk, ours and the store’s', () => {
    assert.deepEqual(
      (['spool_full', 'storage_full', 'storage_failed', 'output_missing'] as const).map((code) =>
        isWantOfRoom(failure(code)),
      ),
      [true, true, false, false],
    );
  });
});
