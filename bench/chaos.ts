/**
 * What is lost when things die: gateways, backends and the database are killed under load, and every
 * promise is held against the record and against what the GPUs really ran. Ends with 1 when one is
 * broken.
 *
 *   npx node bench/chaos.ts [all|crashes|replicas|sleeper|backends|database] [times=10]
 *
 * crashes: a gateway kills itself at each milestone, `times` times each, on both engines.
 * replicas: of three gateways one is killed every 5 s for a minute.
 * sleeper: of three gateways one is stopped for a minute and wakes up.
 * backends: ComfyUI servers are killed at random for a minute.
 * database: Postgres is away for 30 s.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { dataFolders } from '../src/config/config.ts';
import type { DatabaseOptions } from '../src/db/connect.ts';
import { type Milestone, milestones } from '../src/telemetry/milestones.ts';
import { type CrashScene, crashAt, createCrashScene } from '../test/support/crash-scene.ts';
import { EmulatorProcess } from '../test/support/emulator-process.ts';
import { Fleet, Load } from '../test/support/load.ts';
import { PostgresServer } from '../test/support/postgres-server.ts';
import { type Engine, engines } from '../test/support/test-database.ts';
import { type Evidence, judge, maxAttempts, type Run, type Verdict } from './chaos-verdict.ts';

const minuteMs = 60_000;
const killEveryMs = 5_000;

const scenarios: Record<string, (times: number) => Promise<Verdict[]>> = {
  crashes,
  replicas: async () => [await replicas()],
  sleeper: async () => [await sleeper()],
  backends: async () => [await killBackends()],
  database: async () => [await loseDatabase()],
};

// One server for all scenes but the one that loses it.
await using postgres = await PostgresServer.start();
process.env.TEST_DATABASE_URL ??= postgres.url;

const [chosen = 'all', times = '10'] = process.argv.slice(2);
const verdicts: Verdict[] = [];
for (const [name, run] of Object.entries(scenarios)) {
  if (chosen === 'all' || chosen === name) verdicts.push(...(await run(Number(times))));
}
process.exitCode =
  verdicts.length > 0 && verdicts.every((each) => each.broken.length === 0) ? 0 : 1;

/** Judges, and tells at once. */
async function judged(evidence: Evidence): Promise<Verdict> {
  const verdict = await judge(evidence);
  console.log(`\n${verdict.name}`);
  for (const [figure, value] of Object.entries(verdict.figures)) {
    if (value !== '') console.log(`  ${figure.padEnd(28)}${value}`);
  }
  for (const what of verdict.broken) console.log(`  BROKEN: ${what}`);
  return verdict;
}

async function crashes(rounds: number): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  for (const engine of engines) {
    const waiting = [...milestones];
    const lane = async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) {
        verdicts.push(await crashAgainAndAgain(engine, next, rounds));
      }
    };
    // On Postgres most of the time is spent waiting for leases to run out.
    const lanes = engine === 'postgres' ? milestones.length : 2;
    await Promise.all(Array.from({ length: lanes }, lane));
  }
  return verdicts;
}

/** Three tasks each time, and the crash at the first, second or third time at the milestone. */
async function crashAgainAndAgain(
  engine: Engine,
  milestone: Milestone,
  rounds: number,
): Promise<Verdict> {
  await using scene = await createCrashScene({ engine, seconds: 0.5 });
  for (let round = 0; round < rounds; round += 1) {
    await crashAt(scene, { milestone, nth: 1 + (round % 3), tasks: 3 });
  }
  const name = `${rounds} crashes at ${milestone}, ${engine}`;
  return await judged({ name, database: databaseOf(scene), runs: runsOf(scene), gateways: [] });
}

async function replicas(): Promise<Verdict> {
  await using scene = await createCrashScene({ engine: 'postgres', emulators: 3, seconds: 1 });
  await using fleet = await Fleet.start(scene, 3);
  const load = new Load(fleet, 400);
  await delay(killEveryMs);
  for (let i = 0; i < minuteMs / killEveryMs; i += 1) {
    const asOf = Date.now();
    await fleet.kill(i % 3);
    await delay(Math.max(0, asOf + killEveryMs - Date.now()));
  }
  const name = 'a gateway of three killed every 5 s';
  return await judgeFleet(name, scene, fleet, await load.end());
}

async function sleeper(): Promise<Verdict> {
  await using scene = await createCrashScene({ engine: 'postgres', emulators: 3, seconds: 1 });
  await using fleet = await Fleet.start(scene, 3);
  const load = new Load(fleet, 400);
  await delay(killEveryMs);
  fleet.freeze(0);
  await delay(minuteMs);
  fleet.thaw(0);
  await delay(killEveryMs);
  return await judgeFleet('a gateway of three asleep for 60 s', scene, fleet, await load.end());
}

async function judgeFleet(
  name: string,
  scene: CrashScene,
  { all: gateways, deaths }: Fleet,
  broken: readonly string[],
): Promise<Verdict> {
  const record = { database: databaseOf(scene), runs: runsOf(scene) };
  return await judged({ name, ...record, gateways, deaths, broken });
}

async function killBackends(): Promise<Verdict> {
  await using servers = new AsyncDisposableStack();
  const backends: EmulatorProcess[] = [];
  for (let i = 0; i < 3; i += 1) backends.push(servers.use(await EmulatorProcess.start()));
  await using scene = await createCrashScene({
    engine: 'postgres',
    emulators: 0,
    seconds: 1,
    backends: backends.map(({ url }) => url),
    env: { MAX_ATTEMPTS: String(maxAttempts) },
  });
  await using fleet = await Fleet.start(scene, 1);
  const runs = new Map<string, Run>();
  const kills = new Map<string, number[]>(backends.map(({ url }) => [url, []]));
  const watched = new AbortController();
  const watches = backends.map((backend) => watch(backend, runs, watched.signal));
  const load = new Load(fleet, 500);
  const until = Date.now() + minuteMs;
  await Promise.all(
    backends.map(async (backend) => {
      while (Date.now() < until) {
        await delay(1_000 + Math.random() * 8_000);
        kills.get(backend.url)?.push(Date.now());
        await backend.kill();
        await delay(Math.random() * 4_000);
        await backend.restart();
      }
    }),
  );
  const broken = await load.end();
  watched.abort();
  await Promise.all(watches);
  return await judged({
    name: 'three backends killed at random',
    database: databaseOf(scene),
    runs: [...runs.values()],
    gateways: fleet.all,
    backendKills: kills,
    broken,
  });
}

async function loseDatabase(): Promise<Verdict> {
  await using server = await PostgresServer.start();
  await using scene = await createCrashScene({
    engine: 'postgres',
    emulators: 3,
    seconds: 2,
    env: { DATABASE_URL: server.url },
  });
  await using fleet = await Fleet.start(scene, 2);
  const broken: string[] = [];
  for (let i = 0; i < 20; i += 1) await fleet.submit();
  await delay(3_000);
  await server.crash();
  const asOf = Date.now();
  let answeredMs = 0;
  while (Date.now() < asOf + 30_000) {
    for (const { client } of fleet.present) {
      const askedAt = Date.now();
      const answer = await client.call('POST', '/tasks', scene.task).catch(() => null);
      const isTold = answer?.status === 503 && answer.headers['retry-after'] !== undefined;
      const afterMs = Date.now() - askedAt;
      if (!isTold) broken.push(`without a database: ${answer?.status ?? 'nothing'}, ${afterMs} ms`);
      answeredMs = Math.max(answeredMs, afterMs);
    }
    await delay(1_000);
  }
  const wentOn = runsOf(scene).filter(({ endedAt }) => (endedAt ?? 0) > asOf).length;
  await server.resume();
  await fleet.settled();
  return await judged({
    name: 'Postgres away for 30 s',
    database: { engine: 'postgres', url: server.url },
    runs: runsOf(scene),
    gateways: fleet.all,
    broken,
    figures: { 'prompts ended meanwhile': wentOn, 'slowest 503': `${answeredMs} ms` },
  });
}

/** Polls what a backend has run, which it forgets when it is killed. */
async function watch(
  backend: EmulatorProcess,
  runs: Map<string, Run>,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    for (const run of await backend.runs().catch(() => [])) {
      runs.set(run.promptId, { ...run, backend: backend.url });
    }
    await delay(200, undefined, { signal }).catch(() => {});
  }
}

function runsOf({ emulators }: CrashScene): Run[] {
  return emulators.flatMap(({ url, runs }) =>
    runs.map(({ id: promptId, status: outcome, startedAt, endedAt }) => {
      return { promptId, outcome, startedAt, endedAt, backend: url };
    }),
  );
}

function databaseOf({ databaseUrl, dataDir }: CrashScene): DatabaseOptions {
  return databaseUrl
    ? { engine: 'postgres', url: databaseUrl }
    : { engine: 'pglite', dataDir: dataFolders(dataDir).database };
}
