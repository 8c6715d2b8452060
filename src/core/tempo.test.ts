import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { checkTempo, quickened, realTempo, type Tempo } from './tempo.ts';

describe('the tempo', () => {
  it('holds its relations, at real time and four times as fast', () => {
    checkTempo(realTempo);
    checkTempo(quickened(realTempo, 4));
  });

  const contradictions: [relation: RegExp, change: Partial<Tempo>][] = [
    [/a lease outlives three renewals/, { lease: { holdsMs: 9_000, renewEveryMs: 3_000 } }],
    [
      /a backend is given up later than a dead gateway/,
      { recovery: { ...realTempo.recovery, abandonedAfterMs: 14_000 } },
    ],
    [
      /a prompt is polled several times before it is lost/,
      { prompt: { ...realTempo.prompt, pollMs: 10_000 } },
    ],
    [
      /a full store is waited for longer than a failing one/,
      { transfer: { ...realTempo.transfer, fullPatienceMs: 1_000 } },
    ],
    [/pauses grow/, { retry: { firstPauseMs: 2_000, longestPauseMs: 1_000 } }],
  ];
  for (const [relation, change] of contradictions) {
    it(`refuses one where not: ${relation.source}`, () => {
      assert.throws(() => checkTempo({ ...realTempo, ...change }), relation);
    });
  }

  it('leaves a lease time for another renewal when one is not answered', () => {
    const { lease, database } = realTempo;
    assert.ok(lease.holdsMs > database.queryDeadlineMs + 2 * lease.renewEveryMs);
  });

  it('quickens its own waits, and leaves others their deadlines', () => {
    const { lease, comfyui, prompt } = quickened(realTempo, 4);
    assert.deepEqual(lease, { holdsMs: 3_000, renewEveryMs: 750 });
    assert.equal(prompt.pollMs, 500);
    assert.deepEqual(comfyui, realTempo.comfyui);
  });

  it('is where every wait of the gateway stands', () => {
    const source = new URL('../', import.meta.url);
    const modules = globSync('**/*.ts', { cwd: source })
      .filter((path) => !path.endsWith('.test.ts') && path !== 'core/tempo.ts')
      // The emulator and the command line are programs of their own, dialects keep old services' promises.
      .filter((path) => !/^(emulator|emulator-process|cli|http\/dialects)\b/.test(path));
    assert.ok(modules.length > 200);
    const constant =
      /^(?:export )?const (\w+(?:Ms|Seconds)) = [\d_ *.]+;|(?:\bdelay|\bsetTimeout|\.timeout)\(.*?\b(\d[\d_]+)\b/gm;
    const found = modules.flatMap((path) =>
      [...readFileSync(new URL(path, source), 'utf8').matchAll(constant)].map(
        ([, name, literal]) => `${path} ${name ?? literal}`,
      ),
    );
    assert.deepEqual(found.toSorted(), allowed.toSorted());
  });
});

/** Lengths of time that nobody waits for. */
const allowed = [
  'media/probe.ts bytesPerMs',
  'media/video-thread.ts maxDurationGapSeconds',
  'media/clip/sound.ts missingSeconds',
  'core/schedule.ts agePerPriorityMs',
  'core/schedule.ts unknownRunMs',
  'core/schedule.ts unevenAtMostMs',
  'core/schedule.ts owedForMs',
  'core/quota.ts daySeconds',
  'http/usage.ts dayMs',
  'telemetry/refusal-log.ts oncePerMs',
  'comfyui/busy-meter.ts windowMs',
  'comfyui/busy-meter.ts sliceMs',
  'comfyui/input-folder.ts minBytesPerMs',
];
