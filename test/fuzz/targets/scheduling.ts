import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { mayTakePlace, mostPlaces } from '../../../src/core/fair-places.ts';
import { begunBefore, countOf } from '../../../src/core/queue-place.ts';
import {
  forgivenMs,
  type QueuedRun,
  type Situation,
  schedule,
} from '../../../src/core/schedule.ts';
import { shareOut } from '../../../src/core/share-out.ts';
import { FairTurns } from '../../../src/pipeline/fair-turns.ts';
import { type FuzzTarget, target } from '../target.ts';

const now = 1_800_000_000_000;
const tenant = fc.constantFrom('', 'a', 'b', '__proto__');
const workflow = fc.constantFrom<string>('v', 'w', 'constructor');
const backend = fc.constantFrom('here', 'there', 'elsewhere');
const ms = fc.oneof(fc.nat({ max: 100_000_000 }), fc.constantFrom(0, 1, 10_000, 600_000));

const queuedRun = fc
  .record({
    workflow,
    tenant,
    priority: fc.integer({ min: 0, max: 10 }),
    rank: fc.integer(),
    agoMs: fc.integer({ min: -5_000, max: 100_000_000 }),
    avoid: fc.uniqueArray(backend),
  })
  .map(({ agoMs, ...run }) => ({
    ...run,
    workflowHash: run.workflow,
    createdAt: new Date(now - agoMs),
  }));
const heads = fc
  .array(queuedRun, { maxLength: 8 })
  .map((runs) => runs.map((run, index): QueuedRun => ({ ...run, id: `${index}` })));

const situation = fc
  .record({
    backend,
    warm: fc.option(workflow),
    holders: fc.array(fc.tuple(workflow, fc.nat({ max: 3 }))),
    runnable: fc.uniqueArray(workflow),
    elsewhere: fc.uniqueArray(workflow),
    shares: fc.array(fc.tuple(tenant, fc.record({ chargedMs: ms, servedAt: ms }))),
    expected: ms,
    able: fc.nat({ max: 5 }),
    servedAt: fc.option(ms.map((each) => now - each)),
    patienceMs: ms,
  })
  .map(
    ({ holders, runnable, elsewhere, shares, expected, able, servedAt, ...rest }): Situation => ({
      ...rest,
      warmElsewhere: new Map(holders),
      canRun: (run) => runnable.includes(run.workflow),
      othersCanRun: (run) => elsewhere.includes(run.workflow),
      shares: new Map(shares),
      expectedMs: () => expected,
      ableBackends: () => able,
      lineServedAt: () => servedAt,
      now,
    }),
  );

const ahead = fc.array(
  fc.record({ tenant, workflow, isPeer: fc.boolean(), count: fc.integer({ min: 1, max: 10_000 }) }),
  { maxLength: 12 },
);

type Step =
  | { readonly act: 'take'; readonly keys: readonly string[]; readonly isPatient: boolean }
  | { readonly act: 'end' | 'abort'; readonly which: number };

const key = fc.constantFrom('a', 'b', 'c');
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    act: fc.constant('take' as const),
    keys: fc.oneof(
      fc.tuple(key),
      fc.tuple(key, fc.constantFrom('ax', 'ay')),
      fc.constant(['a', 'a']),
    ),
    isPatient: fc.boolean(),
  }),
  fc.record({ act: fc.constantFrom('end' as const, 'abort' as const), which: fc.nat() }),
);

export const schedulingTargets: readonly FuzzTarget[] = [
  target('schedule', 6, {
    cases: fc.tuple(heads, situation),
    check([runs, where]) {
      const chosen = schedule(runs, where);
      const fits = (run: QueuedRun) =>
        where.canRun(run) && (!run.avoid.includes(where.backend) || !where.othersCanRun(run));
      // No backend stands still while there is something for it.
      assert.equal(chosen !== null, runs.some(fits));
      if (chosen === null) return;
      assert.ok(runs.includes(chosen) && fits(chosen));
      assert.ok(Number.isSafeInteger(forgivenMs(chosen, runs, where)));
      assert.ok(forgivenMs(chosen, runs, where) >= 0);
      const first = Math.min(...runs.filter(fits).map(({ rank }) => rank));
      const front = runs.filter((run) => fits(run) && run.rank === first);
      assert.ok(front.some(({ priority }) => priority === chosen.priority));
    },
  }),
  target('queue-place', 5, {
    cases: fc.tuple(ahead, tenant, workflow, fc.array(fc.tuple(workflow, ms))),
    check([runs, ownTenant, ownWorkflow, durations]) {
      const own = { tenant: ownTenant, workflow: ownWorkflow };
      const begun = begunBefore(runs, own, new Map(durations));
      for (const { count } of begun) assert.ok(Number.isFinite(count) && count >= 0);
      assert.ok(countOf(begun) <= countOf(runs));
      const inOrder = runs.filter((run) => !run.isPeer || run.tenant === ownTenant);
      assert.ok(countOf(begun) >= countOf(inOrder));
      // Every other tenant has its turn first.
      const others = new Set(runs.filter((run) => !inOrder.includes(run)).map((run) => run.tenant));
      assert.ok(countOf(begun) >= countOf(inOrder) + others.size);
    },
  }),
  target('share-out', 3, {
    cases: fc.tuple(
      fc.dictionary(fc.string(), fc.nat({ max: 50 }), { minKeys: 1 }),
      fc.nat({ max: 200 }),
    ),
    check([counts, total]) {
      const held = new Map(Object.entries(counts));
      const shares = [...held].map(([me, mine]) => {
        const { take, giveUp } = shareOut(me, held, total);
        assert.ok(take === 0 || giveUp === 0);
        return mine + take - giveUp;
      });
      assert.equal(
        shares.reduce((sum, share) => sum + share, 0),
        total,
      );
      assert.ok(Math.max(...shares) - Math.min(...shares) <= 1);
    },
  }),
  target('fair-places', 3, {
    cases: fc.tuple(fc.nat({ max: 100 }), fc.nat({ max: 100 }), fc.integer({ min: 1, max: 100 })),
    check([own, others, places]) {
      const taken = own + others;
      if (taken > places) return;
      let had = own;
      while (mayTakePlace(had, others + had, places)) had += 1;
      assert.equal(had, mostPlaces(own, taken, places));
      assert.ok(others + had <= places);
      // Whoever has nothing finds a place as long as there is one.
      assert.equal(mayTakePlace(0, taken, places), taken < places);
    },
  }),
  target('fair-turns', 4, {
    cases: fc.tuple(fc.integer({ min: 1, max: 6 }), fc.array(step, { maxLength: 40 })),
    check: ([places, steps]) => takeTurns(places, steps),
  }),
];

/** Transfers in any order of beginnings, ends and aborts: no place is lost, and none is given twice. */
async function takeTurns(places: number, steps: readonly Step[]): Promise<void> {
  const turns = new FairTurns(places);
  const held: { readonly keys: readonly string[]; readonly place: Disposable }[] = [];
  const waiting: { readonly keys: readonly string[]; readonly abort: AbortController }[] = [];
  const begun: Promise<void>[] = [];

  const take = (keys: readonly string[], isPatient: boolean) => {
    const turn = { keys, abort: new AbortController() };
    waiting.push(turn);
    const taken = async () => {
      try {
        const place = await turns.take(keys, turn.abort.signal, { isPatient });
        if (turn.abort.signal.aborted) place[Symbol.dispose]();
        else held.push({ keys, place });
      } catch (error) {
        assert.equal(error, turn.abort.signal.reason);
      } finally {
        waiting.splice(waiting.indexOf(turn), 1);
      }
    };
    begun.push(taken());
  };
  for (const each of steps) {
    if (each.act === 'take') take(each.keys, each.isPatient);
    else if (each.act === 'end') {
      const [transfer] = held.splice(each.which % Math.max(1, held.length), 1);
      transfer?.place[Symbol.dispose]();
      // More than once is as once.
      transfer?.place[Symbol.dispose]();
    } else waiting[each.which % Math.max(1, waiting.length)]?.abort.abort();
    await settle();
    assert.ok(held.length <= places);
    const hasNothing = ({ keys }: (typeof waiting)[number]) =>
      keys.every((one) => held.every((transfer) => !transfer.keys.includes(one)));
    assert.ok(held.length === places || !waiting.some(hasNothing), 'One waits beside a free place');
  }
  for (const { abort } of waiting) abort.abort();
  await settle();
  while (held.length > 0) held.pop()?.place[Symbol.dispose]();
  await Promise.all(begun);
  for (let i = 0; i < places; i += 1) take([`new ${i}`], false);
  await settle();
  assert.equal(held.length, places, 'A place is lost');
}

async function settle(): Promise<void> {
  await setImmediate();
}
