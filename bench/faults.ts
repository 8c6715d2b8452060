/**
 * Breaks everything between the gateways and whom they speak to, and holds every promise against what was
 * recorded. What happens follows from the seed, which is printed; the same seed breaks the same things at the
 * same moments. Ends with 1 when a promise was broken.
 *
 *   npm run faults -- [--engine postgres|pglite|all] [--seed N] [--rounds 1] [--troubles 100] [--every 300]
 *                     [--kinds cut,kill,…] [--gateways 2] [--backends 2] [--quiet] [--mutants]
 *
 * With --mutants, each safeguard is taken out in turn, and it ends with 1 when that broke no promise.
 */
import { parseArgs } from 'node:util';
import { ConfigError } from '../src/config/config.ts';
import { run } from '../src/run.ts';
import { grow, mutants } from '../test/faults/mutants.ts';
import { describeStep, pairs, type TroubleKind } from '../test/faults/plan.ts';
import { play, type Scenario } from '../test/faults/scenario.ts';
import { type Engine, engines } from '../test/support/test-database.ts';

const kindsOf: Record<Engine, readonly [TroubleKind, ...TroubleKind[]]> = {
  postgres: [
    ...(['cut', 'cut', 'cut-next', 'cut-next', 'half-open', 'slow'] as const),
    ...(['kill', 'crash', 'sleep', 'doze', 'restart-database', 'corrupt'] as const),
  ],
  pglite: ['cut', 'cut-next', 'half-open', 'slow', 'kill', 'crash'],
};

const usual: Omit<Scenario, 'seed' | 'kinds'> = {
  engine: 'postgres',
  troubles: 12,
  everyMs: 1_000,
  gateways: 2,
  backends: 2,
  pairs,
  seconds: 0.2,
  clients: 3,
  pauseMs: 50,
  ownsDatabase: true,
  patienceMs: 60_000,
};

/** One gateway has an embedded database to itself, and keeps results on disk. */
const alone = { gateways: 1, pairs: ['client', 'backend', 'source'] } as const;

await run(async () => {
  const { values } = parseArgs({
    options: {
      engine: { type: 'string', default: 'all' },
      seed: { type: 'string' },
      rounds: { type: 'string', default: '1' },
      troubles: { type: 'string', default: '100' },
      every: { type: 'string', default: '300' },
      kinds: { type: 'string' },
      gateways: { type: 'string', default: '2' },
      backends: { type: 'string', default: '2' },
      mutants: { type: 'boolean', default: false },
      quiet: { type: 'boolean', default: false },
    },
  });
  const first = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
  const chosen = engines.filter((engine) => values.engine === 'all' || values.engine === engine);
  if (chosen.length === 0) throw new ConfigError([`There is no engine ${values.engine}`]);
  if (values.mutants) return await playMutants(first, Number(values.rounds));
  let broken = 0;
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const engine of chosen) {
      const kinds = values.kinds ? parseKinds(values.kinds) : kindsOf[engine];
      broken += await playOne({
        ...usual,
        ...(engine === 'pglite' ? alone : { gateways: Number(values.gateways) }),
        engine,
        kinds,
        seed: first + round,
        troubles: Number(values.troubles),
        everyMs: Number(values.every),
        backends: Number(values.backends),
        ...(values.quiet ? {} : { onStep: (step) => console.log(describeStep(step)) }),
      });
    }
  }
  process.exitCode = broken > 0 ? 1 : 0;
});

async function playOne(scenario: Scenario): Promise<number> {
  const { engine, seed } = scenario;
  console.log(`${engine}, --seed ${seed}`);
  const suffered: TroubleKind[] = [];
  const { broken, ...figures } = await play({
    ...scenario,
    onStep: (step) => {
      suffered.push(step.trouble.kind);
      scenario.onStep?.(step);
    },
  });
  const counts = Map.groupBy(suffered, (kind) => kind);
  const told = [
    ...[...counts].map(([kind, each]) => `${kind} ${each.length}`),
    ...Object.entries(figures).map(([name, figure]) => `${name} ${figure}`),
  ];
  console.log(`${engine}, --seed ${seed}: ${told.join(', ')}, broken ${broken.length}`);
  for (const sentence of broken) console.log(`  BROKEN: ${sentence}`);
  return broken.length;
}

/** Each on Postgres, with the troubles that its safeguard is for. */
async function playMutants(seed: number, rounds: number): Promise<void> {
  for (const mutant of mutants) {
    await using grown = await grow(mutant);
    for (let round = 0; round < rounds; round += 1) {
      const { without, scenario } = mutant;
      console.log(`without ${without}`);
      const broken = await playOne({
        ...usual,
        ...grown,
        troubles: 5,
        ...scenario,
        seed: seed + round,
      });
      if (broken === 0) process.exitCode = 1;
      console.log(broken > 0 ? 'It was noticed.' : 'NOBODY NOTICED');
    }
  }
}

function parseKinds(text: string): readonly [TroubleKind, ...TroubleKind[]] {
  const known = new Set([...kindsOf.postgres, 'kill-backend' as const]);
  const [first, ...others] = text.split(',').map((name) => {
    const kind = [...known].find((each) => each === name);
    if (!kind)
      throw new ConfigError([`There is no trouble ${name}; known: ${[...known].join(', ')}`]);
    return kind;
  });
  if (!first) throw new ConfigError(['Name at least one trouble']);
  return [first, ...others];
}
