import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  agePerPriorityMs,
  forgivenMs,
  lineOf,
  type QueuedRun,
  type Share,
  type Situation,
  schedule,
} from './schedule.ts';

const now = 1_000_000_000;

/** A task of priority 5 that came so many milliseconds ago. */
function waiting(id: string, agoMs: number, change: Partial<QueuedRun> = {}): QueuedRun {
  const priority = change.priority ?? 5;
  const createdAt = new Date(now - agoMs);
  const rank = createdAt.getTime() - priority * agePerPriorityMs;
  const plain = { workflow: 'w', workflowHash: 'h', tenant: '', avoid: [] };
  return { id, ...plain, priority, rank, createdAt, ...change };
}

/** So many runs of a second ahead. */
const share = (runs: number, servedAgoMs = 0) => ({
  chargedMs: runs * 1_000,
  servedAt: now - servedAgoMs,
});

function situation(change: Partial<Situation> = {}): Situation {
  return {
    backend: 'here',
    warm: null,
    warmElsewhere: new Map(),
    canRun: () => true,
    othersCanRun: () => true,
    shares: new Map(),
    expectedMs: () => 1_000,
    ableBackends: () => 1,
    lineServedAt: () => null,
    now,
    patienceMs: 30_000,
    ...change,
  };
}

describe('schedule', () => {
  const table: {
    says: string;
    heads: QueuedRun[];
    situation?: Partial<Situation>;
    chosen: string | null;
  }[] = [
    { says: 'nothing where nothing waits', heads: [], chosen: null },
    {
      says: 'nothing where nothing fits',
      heads: [waiting('a', 1_000)],
      situation: { canRun: () => false },
      chosen: null,
    },
    {
      says: 'what the backend can run, past what it cannot',
      heads: [waiting('a', 2_000, { workflow: 'v', priority: 10 }), waiting('b', 1_000)],
      situation: { canRun: ({ workflow }) => workflow === 'w' },
      chosen: 'b',
    },
    {
      says: 'who came first, among equals',
      heads: [waiting('b', 1_000, { workflow: 'v' }), waiting('a', 2_000)],
      chosen: 'a',
    },
    {
      says: 'the higher priority, whatever models are loaded and whoever has more',
      heads: [waiting('a', 20_000), waiting('b', 0, { workflow: 'v', tenant: 't', priority: 6 })],
      situation: { warm: 'w', shares: new Map([['t', share(9)]]) },
      chosen: 'b',
    },
    {
      says: 'a low priority that has waited for what the higher is worth',
      heads: [
        waiting('a', agePerPriorityMs + 1, { priority: 5 }),
        waiting('b', 0, { priority: 6 }),
      ],
      chosen: 'a',
    },
    {
      says: 'not yet a low priority that has waited for less',
      heads: [
        waiting('a', agePerPriorityMs - 1, { priority: 5 }),
        waiting('b', 0, { priority: 6 }),
      ],
      chosen: 'b',
    },
    {
      says: 'nothing young of a low priority for the sake of one that has aged',
      heads: [
        waiting('aged', 10 * agePerPriorityMs + 20_000, { priority: 0 }),
        waiting('high', 1_000, { priority: 10, workflow: 'v' }),
        waiting('young', 2_000, { priority: 0, workflow: 'v' }),
      ],
      situation: { warm: 'v', lineServedAt: () => now },
      chosen: 'aged',
    },
    {
      says: 'the workflow whose models are loaded',
      heads: [waiting('a', 20_000), waiting('b', 1_000, { workflow: 'v' })],
      situation: { warm: 'v' },
      chosen: 'b',
    },
    {
      says: 'a line that has stood still, beyond patience, before loaded models',
      heads: [waiting('a', 30_000), waiting('b', 1_000, { workflow: 'v' })],
      situation: { warm: 'v' },
      chosen: 'a',
    },
    {
      says: 'loaded models before a long line that moves',
      heads: [waiting('a', 90_000), waiting('b', 1_000, { workflow: 'v' })],
      situation: {
        warm: 'v',
        lineServedAt: ({ workflow }) => (workflow === 'w' ? now - 10_000 : null),
      },
      chosen: 'b',
    },
    {
      says: 'the order alone, without patience',
      heads: [waiting('a', 1), waiting('b', 0, { workflow: 'v' })],
      situation: { warm: 'v', patienceMs: 0 },
      chosen: 'a',
    },
    {
      says: 'on a cold backend, the workflow that no other holds',
      heads: [waiting('a', 2_000), waiting('b', 1_000, { workflow: 'v' })],
      situation: { warmElsewhere: new Map([['w', 1]]) },
      chosen: 'b',
    },
    {
      says: 'the tenant that has less',
      heads: [waiting('a', 2_000, { tenant: 's' }), waiting('b', 1_000, { tenant: 't' })],
      situation: {
        shares: new Map([
          ['s', share(2)],
          ['t', share(1)],
        ]),
      },
      chosen: 'b',
    },
    {
      says: 'the tenant that was served longer ago, where both have as much',
      heads: [waiting('a', 2_000, { tenant: 's' }), waiting('b', 1_000, { tenant: 't' })],
      situation: {
        shares: new Map([
          ['s', share(1, 1_000)],
          ['t', share(1, 2_000)],
        ]),
      },
      chosen: 'b',
    },
    {
      says: 'loaded models before a tenant that has hardly less',
      heads: [
        waiting('a', 2_000, { tenant: 's' }),
        waiting('b', 1_000, { tenant: 't', workflow: 'v' }),
      ],
      situation: { warm: 'w', shares: new Map([['s', share(1)]]) },
      chosen: 'a',
    },
    {
      says: 'a tenant that has fallen behind before loaded models',
      heads: [
        waiting('a', 2_000, { tenant: 's' }),
        waiting('b', 1_000, { tenant: 't', workflow: 'v' }),
      ],
      situation: { warm: 'w', shares: new Map([['s', share(2)]]) },
      chosen: 'b',
    },
    {
      says: 'a tenant that has fallen behind before a line that has stood still',
      heads: [waiting('a', 90_000, { tenant: 's' }), waiting('b', 1_000, { tenant: 't' })],
      situation: { shares: new Map([['s', share(2)]]) },
      chosen: 'b',
    },
    {
      says: 'of lines that stood still, that of the tenant that has less',
      heads: [waiting('a', 90_000, { tenant: 's' }), waiting('b', 80_000, { tenant: 't' })],
      situation: { shares: new Map([['s', share(1)]]) },
      chosen: 'b',
    },
    {
      says: 'nothing that failed here and could run elsewhere',
      heads: [waiting('a', 2_000, { avoid: ['here'] })],
      chosen: null,
    },
    {
      says: 'what failed elsewhere',
      heads: [waiting('a', 2_000, { avoid: ['elsewhere'] }), waiting('b', 1_000)],
      chosen: 'a',
    },
    {
      says: 'what failed here, where there is no elsewhere',
      heads: [waiting('a', 2_000, { avoid: ['here'] })],
      situation: { othersCanRun: () => false },
      chosen: 'a',
    },
  ];
  for (const { says, heads, situation: change, chosen } of table) {
    it(`chooses ${says}`, () => {
      for (const order of [heads, heads.toReversed()]) {
        assert.equal(schedule(order, situation(change))?.id ?? null, chosen);
      }
    });
  }
});

describe('what a tenant is forgiven', () => {
  const mine = waiting('mine', 0, { tenant: 'mine' });
  const rival = waiting('rival', 0, { tenant: 'rival' });
  const hourMs = 3_600_000;
  const ahead = (ms: number) => new Map([['rival', { chargedMs: ms, servedAt: now }]]);
  const table: {
    says: string;
    heads?: QueuedRun[];
    situation: Partial<Situation>;
    ms: number;
  }[] = [
    { says: 'nothing where nobody has had more', situation: {}, ms: 0 },
    { says: 'nothing of two runs', situation: { shares: ahead(2_000) }, ms: 0 },
    {
      says: 'what others had before it came',
      situation: { shares: ahead(hourMs) },
      ms: hourMs - 2_000,
    },
    {
      says: 'nothing of two runs as long as the longest',
      situation: {
        shares: ahead(hourMs),
        expectedMs: ({ tenant }) => (tenant === 'mine' ? 1 : hourMs),
      },
      ms: 0,
    },
    {
      says: 'nothing that it could have had while it waited',
      heads: [waiting('mine', 60_000, { tenant: 'mine' }), mine, rival],
      situation: { shares: ahead(hourMs), ableBackends: () => 4 },
      ms: hourMs - 2_000 - 4 * 60_000,
    },
    {
      says: 'what is more than ten minutes, however long it waited',
      heads: [waiting('mine', hourMs, { tenant: 'mine' }), rival],
      situation: { shares: ahead(hourMs) },
      ms: hourMs - 2_000 - 600_000,
    },
    {
      says: 'nothing for the sake of those who cannot be served here',
      situation: { shares: ahead(hourMs), canRun: ({ tenant }) => tenant === 'mine' },
      ms: 0,
    },
  ];
  for (const { says, heads = [mine, rival], situation: change, ms } of table) {
    it(`is ${says}`, () => assert.equal(forgivenMs(mine, heads, situation(change)), ms));
  }
});

interface Run {
  readonly task: QueuedRun;
  readonly backend: number;
  readonly claimedAt: number;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly isSwitch: boolean;
}

interface Simulation {
  readonly backends: number;
  readonly tasks: readonly QueuedRun[];
  readonly patienceMs: number;
  readonly taskMs?: number | ((task: QueuedRun) => number);
  /** As it is believed to be; the truth where it is left out. */
  readonly expectedMs?: (task: QueuedRun) => number;
  readonly switchMs?: number;
  readonly untilMs?: number;
}

/**
 * A pool in which no time passes but for what runs. A backend asks for its next task when the one
 * before starts to run.
 */
function simulate({
  backends,
  tasks,
  patienceMs,
  taskMs = 1_000,
  expectedMs = typeof taskMs === 'number' ? () => taskMs : taskMs,
  switchMs = 0,
  untilMs = Number.POSITIVE_INFINITY,
}: Simulation): Run[] {
  const lines = Map.groupBy(
    tasks.toSorted((a, b) => a.rank - b.rank),
    lineOf,
  );
  const arrivals = tasks.map(({ createdAt }) => createdAt.getTime()).sort((a, b) => a - b);
  const pool = Array.from({ length: backends }, (_, index) => ({
    index,
    holds: null as string | null,
    asksAt: now + index * 7,
    // They do not ask in step.
    freeAt: now + index * 7,
  }));
  const runs: Run[] = [];
  const served = new Map<string, number>();
  /** Of ended runs, and what was forgiven. */
  const charged = new Map<string, number>();
  const charge = (tenant: string, ms: number) =>
    void charged.set(tenant, (charged.get(tenant) ?? 0) + ms);
  let open: Run[] = [];
  while (runs.length < tasks.length) {
    const backend = pool.reduce((a, b) => (b.asksAt < a.asksAt ? b : a));
    const at = backend.asksAt;
    if (at - now > untilMs) break;
    for (const { task, startedAt, endedAt } of open) {
      if (endedAt <= at) charge(task.tenant, endedAt - startedAt);
    }
    open = open.filter(({ endedAt }) => endedAt > at);
    const others = pool.filter((other) => other !== backend);
    const shareOf = (tenant: string): [string, Share] => [
      tenant,
      {
        chargedMs: open
          .filter(({ task }) => task.tenant === tenant)
          .map(({ task, startedAt }) => Math.max(expectedMs(task), at - startedAt))
          .reduce((sum, ms) => sum + ms, charged.get(tenant) ?? 0),
        servedAt: served.get(tenant) ?? 0,
      },
    ];
    const heads = [...lines.values()].flatMap(
      (line) => line.find(({ createdAt }) => createdAt.getTime() <= at) ?? [],
    );
    const seen = situation({
      warm: backend.holds,
      warmElsewhere: countOf(others.flatMap(({ holds }) => holds ?? [])),
      shares: new Map(heads.map(({ tenant }) => shareOf(tenant))),
      expectedMs,
      ableBackends: () => backends,
      lineServedAt: (head) => served.get(lineOf(head)) ?? null,
      now: at,
      patienceMs,
    });
    const task = schedule(heads, seen);
    if (!task) {
      backend.asksAt = arrivals.find((arrival) => arrival > at) ?? Number.POSITIVE_INFINITY;
      continue;
    }
    charge(task.tenant, forgivenMs(task, heads, seen));
    const line = lines.get(lineOf(task)) ?? [];
    line.splice(line.indexOf(task), 1);
    served.set(lineOf(task), at);
    served.set(task.tenant, at);
    const isSwitch = backend.holds !== task.workflow;
    const startedAt = Math.max(at, backend.freeAt);
    backend.holds = task.workflow;
    backend.asksAt = startedAt;
    const lastsMs = typeof taskMs === 'number' ? taskMs : taskMs(task);
    backend.freeAt = startedAt + (isSwitch ? switchMs : 0) + lastsMs;
    const { index, freeAt: endedAt } = backend;
    const run = { task, backend: index, claimedAt: at, startedAt, endedAt, isSwitch };
    runs.push(run);
    open.push(run);
  }
  return runs;
}

function countOf(names: readonly string[]): Map<string, number> {
  return new Map([...Map.groupBy(names, (name) => name)].map(([name, all]) => [name, all.length]));
}

const switches = (runs: readonly Run[]) => runs.filter(({ isSwitch }) => isSwitch).length;

/** The longest that a line, while it had a task, had none begun. */
function longestStandstillMs(runs: readonly Run[]): number {
  const stood = [...Map.groupBy(runs, ({ task }) => lineOf(task)).values()].flatMap((ofLine) =>
    ofLine.map(({ task, claimedAt }, i) => {
      const before = ofLine[i - 1]?.claimedAt ?? 0;
      return claimedAt - Math.max(task.createdAt.getTime(), before);
    }),
  );
  return Math.max(...stood);
}

/** The same numbers, between 0 and 1, for the same seed. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

describe('a pool that is scheduled so', () => {
  const mixed = (count: number, workflows: number, seed: number) => {
    const next = random(seed);
    return Array.from({ length: count }, (_, i) =>
      waiting(`${i}`, count - i, { workflow: `w${Math.floor(next() * workflows)}` }),
    );
  };

  for (const seed of [1, 2, 3]) {
    it(`switches at most a quarter as often as in order of arrival (mix ${seed})`, () => {
      const pool = { backends: 4, tasks: mixed(200, 2, seed), switchMs: 2_000 };
      const inOrder = simulate({ ...pool, patienceMs: 0 });
      const warm = simulate({ ...pool, patienceMs: 30_000 });
      assert.deepEqual(
        inOrder.map(({ task }) => task.id),
        pool.tasks.map(({ id }) => id),
      );
      assert.ok(switches(warm) * 4 <= switches(inOrder), `${switches(warm)}/${switches(inOrder)}`);
      assert.ok(endOf(warm) < endOf(inOrder));
    });
  }

  for (const [workflows, backends] of [[2, 4] as const, [2, 1] as const, [3, 2] as const]) {
    it(`lets no line stand still for longer than patience and a task: ${workflows} lines`, () => {
      const [patienceMs, taskMs, switchMs] = [10_000, 1_000, 2_000];
      const tasks = mixed(200, workflows, 7);
      const runs = simulate({ backends, tasks, patienceMs, taskMs, switchMs });
      // Another line may come out of patience in the same moment.
      const boundMs = patienceMs + (workflows - 1) * (taskMs + switchMs);
      assert.ok(longestStandstillMs(runs) <= boundMs, `${longestStandstillMs(runs)}`);
    });
  }

  for (const [backends, patienceMs] of [
    [1, 0] as const,
    [3, 0] as const,
    [3, 30_000] as const,
    [4, 30_000] as const,
  ]) {
    it(`gives each of two tenants half, within a task, whatever they ask for: ${backends} backends`, () => {
      const many = ofTenant('many', 120, 1_000, (i) => ({ workflow: `w${i % 2}` }));
      const few = ofTenant('few', 30, 500, (i) => ({ workflow: `w${i % 2}` }));
      const runs = simulate({ backends, tasks: [...many, ...few], patienceMs });
      let served = 0;
      for (const [i, { task }] of runs.slice(0, few.length).entries()) {
        if (task.tenant === 'few') served += 1;
        assert.ok(Math.abs(served - (i + 1) / 2) <= 1, `${served} of ${i + 1}`);
      }
    });
  }

  it('keeps tenants within one backend where each wants other models, whoever came first', () => {
    for (const backends of [2, 3, 4, 8]) {
      const first = ofTenant('first', 400, 1_000, () => ({ workflow: 'v' }));
      const later = ofTenant('later', 100, -10_000, () => ({ workflow: 'w' }));
      const tasks = [...first, ...later];
      const runs = simulate({ backends, tasks, patienceMs: 30_000, switchMs: 2_000 });
      const busy = (tenant: string) =>
        runs
          .filter(({ task }) => task.tenant === tenant)
          .map(({ startedAt, endedAt }) =>
            overlapMs(startedAt, endedAt, now + 20_000, now + 30_000),
          )
          .reduce((sum, ms) => sum + ms, 0) / 10_000;
      assert.ok(busy('first') - busy('later') <= 1.2, `${busy('first')} and ${busy('later')}`);
    }
  });

  /** Runs of a minute, and of a second: each tenant asks for more than there is. */
  const unlike = (task: QueuedRun) => (task.tenant === 'long' ? 60_000 : 1_000);
  const minutes = (count: number) => count * 60_000;
  /** GPU time of the tenant in these minutes, as a share of the pool's. */
  const part = (
    runs: readonly Run[],
    tenant: string,
    from: number,
    to: number,
    backends: number,
  ) => {
    const [start, end] = [now + minutes(from), now + minutes(to)];
    return (
      runs
        .filter(({ task }) => task.tenant === tenant)
        .reduce((sum, run) => sum + overlapMs(run.startedAt, run.endedAt, start, end), 0) /
      (backends * (end - start))
    );
  };
  /** So many tasks that come at once, so many minutes after the beginning. */
  const asked = (tenant: string, count: number, workflow: string, afterMin = 0) =>
    ofTenant(tenant, count, -minutes(afterMin), () => ({ workflow }));

  for (const { says, backends, workflows = ['w', 'w'], forMin = 10, expectedMs } of [
    { says: 'one backend', backends: 1, forMin: 20 },
    { says: 'four backends', backends: 4 },
    { says: 'models of their own', backends: 4, workflows: ['w', 'v'] },
    { says: 'runs of unknown length', backends: 1, forMin: 20, expectedMs: () => 10_000 },
  ]) {
    it(`gives tenants the same GPU time, though one's runs last a minute: ${says}`, () => {
      const [w = '', v = ''] = workflows;
      const tasks = [...asked('long', 100, w), ...asked('short', 2_000, v)];
      const pool = { backends, patienceMs: 30_000, taskMs: unlike, untilMs: minutes(forMin + 1) };
      const runs = simulate({ ...pool, tasks, ...(expectedMs ? { expectedMs } : {}) });
      for (const tenant of ['long', 'short']) {
        const had = part(runs, tenant, 0, forMin, backends);
        assert.ok(Math.abs(had - 0.5) < 0.06, `${tenant} had ${had}`);
      }
    });
  }

  for (const backends of [1, 4]) {
    it(`serves a newcomer soon, and lets nobody starve for what it had before: ${backends} backends`, () => {
      const first = asked('first', 10_000, 'w');
      const later = asked('later', 2_000, 'w', 60);
      const pool = { backends, patienceMs: 30_000, taskMs: 2_000, untilMs: minutes(71) };
      const runs = simulate({ ...pool, tasks: [...first, ...later] });
      const begun = runs.find(({ task }) => task.tenant === 'later')?.startedAt ?? 0;
      assert.ok(begun - now - minutes(60) <= 4_000, `after ${begun - now - minutes(60)} ms`);
      for (const tenant of ['first', 'later']) {
        const had = part(runs, tenant, 60, 70, backends);
        assert.ok(Math.abs(had - 0.5) < 0.02, `${tenant} had ${had}`);
      }
    });
  }

  it('leaves nothing waiting for ever under a load of the highest priority', () => {
    const next = random(11);
    const old = Array.from({ length: 1_000 }, (_, i) =>
      waiting(`o${i}`, 0, { priority: Math.floor(next() * 11), workflow: `w${i % 3}` }),
    );
    const hours = 8;
    // The load alone is as much as the two backends can do.
    const load = Array.from({ length: hours * 360 }, (_, i) =>
      waiting(`l${i}`, -i * 10_000, { priority: 10, workflow: `w${i % 3}` }),
    );
    const tasks = [...old, ...load];
    const untilMs = hours * 3_600_000;
    const pool = { backends: 2, taskMs: 20_000, patienceMs: 30_000 };
    const begun = new Set(simulate({ ...pool, tasks, untilMs }).map(({ task }) => task));
    assert.deepEqual(
      old.filter((task) => !begun.has(task)),
      [],
    );
  });
});

function ofTenant(
  tenant: string,
  count: number,
  agoMs: number,
  change: (i: number) => Partial<QueuedRun>,
) {
  return Array.from({ length: count }, (_, i) =>
    waiting(`${tenant}${i}`, agoMs - i, { tenant, ...change(i) }),
  );
}

function endOf(runs: readonly Run[]): number {
  return Math.max(...runs.map(({ endedAt }) => endedAt));
}

function overlapMs(start: number, end: number, from: number, to: number): number {
  return Math.max(0, Math.min(end, to) - Math.max(start, from));
}
