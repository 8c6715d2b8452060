import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { backendFailed, backendUnreachable } from '../../comfyui/errors.ts';
import { realTempo } from '../../core/tempo.ts';
import { PromptWatch, type WatchedPrompt } from './prompt-watch.ts';

const minute = 60_000;
const ours = 'ours';
const set = (...ids: string[]) => new Set(ids);
const running = { running: set(ours), pending: set() };
const behindOthers = { running: set('another'), pending: set(ours) };
const code = (expected: string) => (error: { code?: string }) => error.code === expected;

/** A watch with a clock that is set by hand. */
function watching(prompt: Partial<WatchedPrompt> = {}) {
  let now = 1_000;
  const clock = () => now;
  const learnedMs = Promise.resolve(30_000);
  const watch = new PromptWatch(
    { promptId: ours, learnedMs, leftMs: null, ...prompt },
    realTempo.prompt,
    clock,
  );
  const pass = (ms: number) => {
    now += ms;
    return now;
  };
  return { watch, pass, start: now };
}

describe('PromptWatch', () => {
  it('takes a prompt for stalled after four times what its workflow takes', async () => {
    const { watch, pass, start } = watching();
    watch.looked(running);
    pass(2 * minute);
    await watch.check(start);
    pass(1);
    await assert.rejects(watch.check(start), code('backend_stalled'));
  });

  it('gives it a minute, however fast its workflow is', async () => {
    const { watch, pass, start } = watching({ learnedMs: Promise.resolve(100) });
    pass(minute);
    await watch.check(start);
    pass(1);
    await assert.rejects(watch.check(start), code('backend_stalled'));
  });

  it('counts from the last sign of life', async () => {
    const { watch, pass } = watching();
    const heardAt = pass(10 * minute);
    await watch.check(heardAt);
    pass(2 * minute + 1);
    await assert.rejects(watch.check(heardAt), code('backend_stalled'));
  });

  it('waits as long as it takes behind the prompts of others', async () => {
    const { watch, pass, start } = watching();
    pass(60 * minute);
    watch.looked(behindOthers);
    await watch.check(start);
    pass(2 * minute);
    watch.looked(running);
    await watch.check(start);
    pass(1);
    await assert.rejects(watch.check(start), code('backend_stalled'));
  });

  it('takes silence for nothing where nothing can be heard, or nothing is known', async () => {
    const deaf = watching();
    deaf.pass(60 * minute);
    await deaf.watch.check(null);
    for (const learnedMs of [Promise.resolve(null), Promise.reject(new Error('no database'))]) {
      const { watch, pass, start } = watching({ learnedMs });
      pass(60 * minute);
      await watch.check(start);
    }
  });

  it('ends a prompt whose time is over, and looks right then', async () => {
    const { watch, pass, start } = watching({ leftMs: 3_000 });
    assert.equal(watch.nextLookMs, 2_000);
    pass(2_000);
    assert.equal(watch.nextLookMs, 1_000);
    await watch.check(start);
    pass(1_000);
    assert.equal(watch.nextLookMs, 0);
    await assert.rejects(watch.check(start), code('run_timeout'));
  });

  it('takes a prompt for lost when two looks a second apart do not find it', () => {
    const { watch, pass } = watching();
    const without = { running: set('another'), pending: set() };
    watch.looked(without);
    assert.equal(watch.nextLookMs, 1_000);
    pass(999);
    watch.looked(without);
    pass(1);
    assert.throws(() => watch.looked(without), code('prompt_lost'));
  });

  it('finds a prompt that was away for one look', () => {
    const { watch, pass } = watching();
    watch.looked({ running: set(), pending: set() });
    pass(5_000);
    watch.looked(running);
    pass(5_000);
    watch.looked({ running: set(), pending: set() });
  });

  it('takes a server for wedged that runs nothing for five seconds though something waits', () => {
    const { watch, pass } = watching();
    const idle = { running: set(), pending: set(ours) };
    watch.looked(idle);
    pass(4_999);
    watch.looked(idle);
    watch.looked(running);
    watch.looked(idle);
    pass(4_999);
    watch.looked(idle);
    pass(1);
    assert.throws(() => watch.looked(idle), code('backend_wedged'));
  });

  it('takes a server for dead that refuses connections for three seconds', () => {
    const { watch, pass } = watching();
    const refused = backendUnreachable(Object.assign(new Error(), { code: 'ECONNREFUSED' }));
    pass(3_000);
    watch.unanswered(refused);
    pass(1);
    assert.throws(() => watch.unanswered(refused), code('prompt_lost'));
  });

  it('gives a server half a minute that cannot be reached, or answers nonsense', () => {
    const silences = [
      [backendUnreachable(new Error('timeout')), 'backend_unreachable'],
      [backendFailed('list its queue', 'Bad Gateway'), 'backend_failed'],
    ] as const;
    for (const [error, expected] of silences) {
      const { watch, pass } = watching();
      pass(minute);
      watch.looked(running);
      pass(30_000);
      watch.unanswered(error);
      pass(1);
      assert.throws(() => watch.unanswered(error), code(expected));
    }
  });
});
