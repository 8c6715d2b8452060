import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { pino } from 'pino';
import { request } from 'undici';
import { eq, sql } from '../src/db/drizzle.ts';
import { attempts, runs } from '../src/db/schema.ts';
import type { Emulator } from '../src/emulator/emulator.ts';
import type { TaskBody } from './support/gateway-client.ts';
import type { LogEvent } from './support/gateway-process.ts';
import { OssServer } from './support/oss-server.ts';
import { scenesAtOnce } from './support/patience.ts';
import {
  type BackendBody,
  completes,
  isIdle,
  Scene,
  Supplies,
  untilBackend,
  untilStaged,
  untilTrue,
} from './support/pool-scene.ts';
import { testTempo } from './support/tempo.ts';
import { connectTestDatabase, createTestDatabase } from './support/test-database.ts';
import type { TestGateway } from './support/test-gateway.ts';
import { sleepGraph } from './support/test-workflows.ts';

let supplies: Supplies;
let url: string;

before(async () => {
  supplies = await Supplies.open();
  url = supplies.url;
  const { write } = supplies.workflows;
  await write('endless', endlessGraph());
  await write('hasty', endlessGraph());
  await write('hasty.meta', { run_timeout: 1 });
  await write('impatient', sleepGraph(0.1));
  await write('impatient.meta', { queue_timeout: 0.5 });
});
after(() => supplies[Symbol.asyncDispose]());

/** One that can be interrupted at any time: it looks at every tick whether it is. */
function endlessGraph(): Record<string, unknown> {
  const graph = sleepGraph(600) as Record<string, { inputs: Record<string, unknown> }>;
  return { ...graph, '2': { ...graph['2'], inputs: { ...graph['2']?.inputs, ticks: 6_000 } } };
}

const isQuarantined = ({ state }: BackendBody) => state === 'quarantined';
const outcomes = ({ runs }: Emulator) => runs.map(({ status }) => status);
const isRunning = ({ stages }: TaskBody) => stages[1]?.status === 'running';

async function queueLength(emulator: Emulator): Promise<number> {
  const { body } = await request(`${emulator.url}/queue`);
  const queue = (await body.json()) as { queue_running: unknown[]; queue_pending: unknown[] };
  return queue.queue_running.length + queue.queue_pending.length;
}

async function queueIsEmpty(emulator: Emulator): Promise<boolean> {
  return (await queueLength(emulator)) === 0;
}

/** The emulator that has run something, and the other. */
async function whoRan(one: Emulator, other: Emulator): Promise<[Emulator, Emulator]> {
  await untilTrue(() => one.runs.length + other.runs.length > 0);
  return one.runs.length > 0 ? [one, other] : [other, one];
}

describe('a backend that fails', { concurrency: scenesAtOnce }, () => {
  it('is quarantined at once when it runs nothing any more', async () => {
    await using scene = new Scene(supplies);
    const [wedged, other] = [await scene.emulator(), await scene.emulator()];
    const tempo = {
      ...testTempo,
      breaker: { ...testTempo.breaker, firstRestMs: 60_000, longestRestMs: 120_000 },
    };
    const gateway = await scene.gateway([wedged, other], { tempo });
    wedged.faults.wedge();
    // One for each.
    const ids = [
      await gateway.submit({ url, workflow: 'sleep' }),
      await gateway.submit({ url, workflow: 'sleep' }),
    ];
    const reason = 'The ComfyUI server has stopped running prompts';
    const resting = await untilBackend(gateway, wedged.url, isQuarantined);
    assert.equal(resting.reason, reason);
    await untilTrue(() => queueIsEmpty(wedged));
    const tasks = [];
    for (const id of ids) tasks.push(await completes(gateway, id));
    assert.deepEqual(tasks.map(({ retries }) => retries).sort(), [0, 1]);
    assert.deepEqual([wedged.runs.length, other.runs.length], [0, 2]);
    // Whose seat it had is gone by now; the reason is not.
    assert.equal((await untilBackend(gateway, wedged.url, () => true)).reason, reason);
  });

  it('is tried again with one task when it has rested', async () => {
    await using scene = new Scene(supplies);
    const [wedged, other] = [await scene.emulator(), await scene.emulator()];
    const gateway = await scene.gateway([wedged, other]);
    wedged.faults.wedge();
    // One for each.
    const ids = [
      await gateway.submit({ url, workflow: 'sleep' }),
      await gateway.submit({ url, workflow: 'sleep' }),
    ];
    await untilBackend(gateway, wedged.url, isQuarantined);
    for (const id of ids) await completes(gateway, id);
    await wedged.faults.restart();
    const onTrial = 'on trial: the next task decides';
    await untilBackend(gateway, wedged.url, (it) => isIdle(it) && it.reason === onTrial);
    const more = [];
    for (let i = 0; i < 3; i += 1) more.push(await gateway.submit({ url, workflow: 'long' }));
    await untilTrue(() => wedged.runs.length === 1);
    const { body } = await gateway.call('GET', '/monitor/stats');
    const told = body.pool_status.find(
      ({ address }: { address: string }) => address === wedged.url,
    );
    assert.equal(told.next_task_id, null, 'a second task waits for a backend on trial');
    for (const id of more) await completes(gateway, id);
    const well = await untilBackend(gateway, wedged.url, isIdle);
    assert.notEqual(well.reason, onTrial);
  });

  it('is blamed for errors only of tasks that succeeded elsewhere', async () => {
    await using scene = new Scene(supplies);
    const [bad, good] = [await scene.emulator(), await scene.emulator()];
    bad.faults.failNode('EmulatorSleep', 'CUDA error: an illegal memory access', 100);
    // Three tasks fail on both.
    good.faults.failNode('EmulatorSleep', 'CUDA error: an illegal memory access', 3);
    const gateway = await scene.gateway([bad, good]);
    for (let i = 0; i < 3; i += 1) {
      const task = await gateway.until(await gateway.submit({ url, workflow: 'sleep' }));
      assert.deepEqual([task.status, task.error_code], ['failed', 'execution_failed']);
    }
    assert.deepEqual([bad.runs.length, good.runs.length], [3, 3]);
    await untilBackend(gateway, bad.url, isIdle);

    // Now and then one is tried on the good one first, and says nothing.
    while (bad.runs.length < 6) {
      await untilBackend(gateway, bad.url, isIdle);
      await completes(gateway, await gateway.submit({ url, workflow: 'sleep' }));
    }
    const { reason } = await untilBackend(gateway, bad.url, ({ state }) => state === 'quarantined');
    assert.equal(reason, 'tasks that failed here succeeded elsewhere');
    await untilBackend(gateway, good.url, isIdle);
  });

  it('loses its task to another when it is gone, and what waited for it', async () => {
    await using scene = new Scene(supplies);
    const [one, other] = [await scene.emulator(), await scene.emulator()];
    const gateway = await scene.gateway([one, other]);
    const id = await gateway.submit({ url, workflow: 'long' });
    const [gone, left] = await whoRan(one, other);
    await gone.close();
    const task = await completes(gateway, id);
    assert.equal(task.retries, 1);
    assert.deepEqual(outcomes(left), ['success']);
    await untilBackend(gateway, gone.url, ({ state }) => state === 'offline');
  });

  it('is the one that is named and avoided when a task moved to it', async () => {
    await using scene = new Scene(supplies);
    const [before, after] = [await scene.emulator(), await scene.emulator()];
    const scratch = scene.use(await createTestDatabase('postgres'));
    const events: LogEvent[] = [];
    const gateway = await scene.gateway([before, after], {
      database: scratch,
      logger: pino({ base: null }, { write: (line) => void events.push(JSON.parse(line)) }),
    });
    // Made ready in front of the one that works, while the other takes nothing.
    const { id: away } = await untilBackend(gateway, after.url, isIdle);
    await gateway.call('PATCH', `/backends/${away}`, { wanted: 'draining' });
    await untilBackend(gateway, after.url, ({ state }) => state === 'draining');
    before.faults.stall(true);
    const running = await gateway.submit({ url, workflow: 'sleep' });
    await untilTrue(() => before.runs.length === 1);
    const id = await gateway.submit({ url, workflow: 'sleep' });
    assert.equal(await untilStaged(gateway, before.url), id);
    after.faults.failNode('EmulatorSleep', 'boom', 1);
    await gateway.call('PATCH', `/backends/${away}`, { wanted: 'active' });
    await gateway.until(id, ({ retries }) => retries === 1);
    before.faults.stall(false);
    for (const each of [running, id]) await completes(gateway, each);
    assert.deepEqual([outcomes(before), outcomes(after)], [['success', 'success'], ['error']]);

    const told = () =>
      events.flatMap(({ msg, task, attempt, backend, from, to }) =>
        String(task).replaceAll('-', '') === id && attempt ? [{ msg, backend, from, to }] : [],
      );
    const nowhere = { from: undefined, to: undefined };
    // Clients may see the end of a task before it is logged.
    await untilTrue(() => told().at(-1)?.msg === 'task.completed');
    assert.deepEqual(told(), [
      { msg: 'attempt.started', backend: before.url, ...nowhere },
      { msg: 'attempt.moved', backend: after.url, from: before.url, to: after.url },
      { msg: 'attempt.failed', backend: after.url, ...nowhere },
      { msg: 'attempt.started', backend: before.url, ...nowhere },
      { msg: 'task.completed', backend: before.url, ...nowhere },
    ]);
    await using database = await connectTestDatabase(scratch.options);
    const rows = await database.orm
      .select({
        backend: attempts.backend,
        error: attempts.error,
        gpuMs: attempts.gpuMs,
        avoid: runs.avoid,
      })
      .from(attempts)
      .innerJoin(runs, eq(runs.id, attempts.runId))
      .where(eq(sql`replace(${attempts.taskId}::text, '-', '')`, id))
      .orderBy(attempts.number);
    assert.deepEqual(
      rows.map(({ backend, error, avoid }) => [backend, error?.code, avoid]),
      [
        [after.url, 'execution_failed', [after.url]],
        [before.url, undefined, [after.url]],
      ],
    );
    // How long a failure takes says nothing of how long the workflow takes.
    assert.deepEqual(
      rows.map(({ gpuMs }) => gpuMs !== null),
      [false, true],
    );
  });

  it('is heard again after its socket went deaf in the middle of a prompt', async () => {
    await using scene = new Scene(supplies);
    const emulator = await scene.emulator();
    const proxy = await scene.proxy(emulator.url);
    const gateway = await scene.gateway([proxy]);
    const first = await gateway.submit({ url, workflow: 'long' });
    await gateway.until(first, isRunning);
    await untilTrue(() => emulator.runs.length === 1);
    emulator.faults.muteSockets(true, { onlyPresent: true });
    await completes(gateway, first);
    await untilTrue(() => proxy.requests.filter(({ path }) => path.startsWith('/ws')).length === 2);
    const second = await gateway.submit({ url, workflow: 'long' });
    const heard = await gateway.until(
      second,
      ({ stages }) => stages[1]?.status === 'running' && stages[1].progress > 0,
    );
    assert.equal(heard.stages[1]?.detail, 'EmulatorSleep');
    assert.equal((await completes(gateway, second)).retries, 0);
    assert.equal(emulator.runs.length, 2);
  });

  /** A server as slow as under load: its messages are late, and its answers too. */
  async function atSlowServer(scene: Scene, messagesMs: number) {
    const emulator = await scene.emulator();
    const events: LogEvent[] = [];
    const gateway = await scene.gateway([emulator], {
      // Whoever waits for a backend that is away is sent away almost at once.
      tempo: { ...testTempo, waitingRoom: { ...testTempo.waitingRoom, awayMs: 130 } },
      logger: pino({ base: null }, { write: (line) => void events.push(JSON.parse(line)) }),
    });
    const running = await gateway.submit({ url, workflow: 'sleep' });
    await gateway.until(running, isRunning);
    const waiting = await gateway.submit({ url, workflow: 'sleep' });
    emulator.faults.slow({ ms: 300 });
    emulator.faults.delayMessages({ ms: messagesMs });
    const told = () => events.map(({ msg }) => msg);
    return { emulator, gateway, running, waiting, told };
  }

  it('is not taken for deaf when it is late with everything', async () => {
    await using scene = new Scene(supplies);
    const { gateway, running, waiting, told } = await atSlowServer(scene, 700);
    for (const id of [running, waiting]) await completes(gateway, id);
    assert.ok(!told().includes('backend.deaf'), told().join());
    assert.ok(!told().includes('attempt.undone'), told().join());
  });

  it('keeps what waits for it when only its socket is made anew', async () => {
    await using scene = new Scene(supplies);
    const { emulator, gateway, running, waiting, told } = await atSlowServer(scene, 0);
    emulator.faults.muteSockets(true, { onlyPresent: true });
    for (const id of [running, waiting]) await completes(gateway, id);
    await untilTrue(() => told().includes('backend.deaf'));
    assert.ok(!told().includes('attempt.undone'), told().join());
  });

  it('gets nothing more while it runs a prompt that it does not let go of', async () => {
    await using scene = new Scene(supplies);
    const emulator = await scene.emulator();
    const proxy = await scene.proxy(emulator.url);
    // It looks as one whose node does not heed interrupts.
    proxy.answerWith('/interrupt', 200, {});
    const gateway = await scene.gateway([proxy], {
      tempo: {
        ...testTempo,
        attempt: { ...testTempo.attempt, withdrawPatienceMs: 200 },
        backend: { ...testTempo.backend, heldAfterMs: 500, lookForLeftMs: 50 },
      },
    });
    const held = await gateway.submit({ url, workflow: 'endless' });
    await untilTrue(() => emulator.runs.length === 1);
    const next = await gateway.submit({ url, workflow: 'sleep' });
    await gateway.call('DELETE', `/tasks/${held}`);
    const holds = ({ reason }: BackendBody) =>
      reason === 'it still runs a prompt that was withdrawn';
    await untilBackend(gateway, proxy.url, holds);
    const distrusted = await untilBackend(gateway, proxy.url, isQuarantined);
    assert.ok(holds(distrusted));
    assert.deepEqual([outcomes(emulator), await queueLength(emulator)], [['running'], 1]);
    proxy.answerFrom('/interrupt', emulator.url);
    await completes(gateway, next);
    assert.deepEqual(outcomes(emulator), ['interrupted', 'success']);
  });

  it('is asked to cancel a job where it has jobs', async () => {
    await using scene = new Scene(supplies);
    const emulator = await scene.emulator({ hasJobs: true });
    const proxy = await scene.proxy(emulator.url);
    const gateway = await scene.gateway([proxy]);
    const id = await gateway.submit({ url, workflow: 'endless' });
    await gateway.until(id, isRunning);
    await untilTrue(() => emulator.runs.length === 1);
    await gateway.call('DELETE', `/tasks/${id}`);
    await untilTrue(() => queueIsEmpty(emulator));
    assert.deepEqual(outcomes(emulator), ['interrupted']);
    const commands = proxy.requests
      .filter(({ method }) => method === 'POST')
      .map(({ path }) => path);
    assert.ok(commands.includes(`/api/jobs/${emulator.runs[0]?.id}/cancel`), commands.join());
    assert.ok(!commands.includes('/interrupt'));
  });
});

describe('a task that fails', { concurrency: scenesAtOnce }, () => {
  it('has its backend free its memory when that runs out, and succeeds on another', async () => {
    await using scene = new Scene(supplies);
    const [one, other] = [await scene.emulator(), await scene.emulator()];
    const gateway = await scene.gateway([one, other]);
    one.faults.runOutOfMemory(1);
    other.faults.runOutOfMemory(1);
    const id = await gateway.submit({ url, workflow: 'sleep' });
    const [full, roomy] = await whoRan(one, other);
    roomy.faults.runOutOfMemory(0);
    const task = await completes(gateway, id);
    assert.deepEqual([task.retries, task.error], [1, null]);
    assert.deepEqual([outcomes(full), outcomes(roomy)], [['error'], ['success']]);
    await untilTrue(() => full.freed === 1);
    assert.equal(roomy.freed, 0);
  });

  it('fails with a hint when the memory of two does not suffice', async () => {
    await using scene = new Scene(supplies);
    const [one, other] = [await scene.emulator(), await scene.emulator()];
    const gateway = await scene.gateway([one, other]);
    for (const { faults } of [one, other]) faults.runOutOfMemory(9);
    const task = await gateway.until(await gateway.submit({ url, workflow: 'sleep' }));
    assert.deepEqual([task.status, task.error_code], ['failed', 'out_of_memory']);
    assert.match(
      task.error ?? '',
      /EmulatorSleep ran out of GPU memory; a smaller input or output/,
    );
    assert.deepEqual([outcomes(one), outcomes(other)], [['error'], ['error']]);
    await untilTrue(() => one.freed === 1 && other.freed === 1);
  });

  it('is tried once elsewhere after an error, then told by the node, without what is inside', async () => {
    await using scene = new Scene(supplies);
    const pool = [await scene.emulator(), await scene.emulator(), await scene.emulator()];
    const gateway = await scene.gateway(pool);
    for (const { faults } of pool) {
      faults.failNode('EmulatorSleep', 'tensor of /srv/models/x.pth is odd', 9);
    }
    const task = await gateway.until(await gateway.submit({ url, workflow: 'sleep' }));
    assert.deepEqual(
      [task.status, task.error_code, task.retries],
      ['failed', 'execution_failed', 1],
    );
    assert.equal(task.error, 'EmulatorSleep failed: tensor of … is odd');
    assert.doesNotMatch(JSON.stringify(task), /Traceback|executor\.ts|\/srv/);
    assert.deepEqual(pool.map(({ runs }) => runs.length).sort(), [0, 1, 1]);
  });

  it('shows what it waits for and why, between two tries', async () => {
    await using scene = new Scene(supplies);
    const emulator = await scene.emulator();
    // Long enough to be seen.
    const tempo = { ...testTempo, retry: { ...testTempo.retry, firstPauseMs: 5_000 } };
    const gateway = await scene.gateway([emulator], { tempo });
    emulator.faults.failNode('EmulatorSleep', 'a passing mood', 1);
    const id = await gateway.submit({ url, workflow: 'sleep' });
    const waiting = (await gateway.until(id, ({ retries }) => retries === 1)) as TaskBody & {
      retry_at: string;
    };
    assert.equal(waiting.status, 'pending');
    assert.ok(Date.parse(waiting.retry_at) > 0);
    assert.deepEqual(
      [waiting.error_code, waiting.error],
      ['execution_failed', 'EmulatorSleep failed: a passing mood'],
    );
    assert.ok(waiting.stages.every(({ status }) => status === 'pending'));
    const done = (await completes(gateway, id)) as typeof waiting;
    assert.deepEqual([done.error, done.retry_at, done.retries], [null, null, 1]);
  });

  it('is set aside when two servers died of it', async () => {
    await using scene = new Scene(supplies);
    const pool = [await scene.emulator(), await scene.emulator(), await scene.emulator()];
    const gateway = await scene.gateway(pool, { env: { MAX_ATTEMPTS: '9' } });
    // One is back at once, the other after a while: either way, its connections are refused.
    pool.forEach(({ faults }, i) => {
      faults.dieOn('EmulatorSleep', { times: 9, refuseMs: i % 2 === 0 ? 4_500 : 0 });
    });
    const task = await gateway.until(await gateway.submit({ url, workflow: 'sleep' }));
    assert.deepEqual([task.status, task.error_code], ['failed', 'task_poisonous']);
    assert.match(task.error ?? '', /Two ComfyUI servers went down/);
    for (const { url: address } of pool) await untilBackend(gateway, address, isIdle);
    assert.deepEqual(pool.flatMap(outcomes), ['lost', 'lost']);
  });

  it('ends with a plain code when its failure cannot be written down', async () => {
    await using scene = new Scene(supplies);
    const emulator = await scene.emulator();
    const scratch = scene.use(await createTestDatabase('postgres'));
    const gateway = await scene.gateway([emulator], { database: scratch });
    await using database = await connectTestDatabase(scratch.options);
    await database.orm.execute(sql`
      alter table tasks add check (error->>'code' is distinct from 'execution_failed')`);
    emulator.faults.failNode('EmulatorSleep', 'boom', 9);
    const task = await gateway.until(await gateway.submit({ url, workflow: 'sleep' }));
    assert.deepEqual([task.status, task.error_code], ['failed', 'internal']);
    assert.equal(task.error, 'The gateway could not record how the task failed');
    assert.deepEqual(
      task.stages.map(({ status }) => status),
      ['success', 'failed', 'skipped'],
    );
    assert.deepEqual(outcomes(emulator), ['error']);
    await untilBackend(gateway, emulator.url, isIdle);
  });

  it('is tried no more often than MAX_ATTEMPTS says', async () => {
    await using scene = new Scene(supplies);
    const emulator = await scene.emulator();
    const gateway = await scene.gateway([emulator], { env: { MAX_ATTEMPTS: '2' } });
    const id = await gateway.submit({ url, workflow: 'endless' });
    // A stranger interrupts whatever runs.
    for (const run of [1, 2]) {
      await untilTrue(() => emulator.runs.length === run);
      await untilTrue(async () => {
        const { body } = await request(`${emulator.url}/interrupt`, { method: 'POST' });
        await body.dump();
        return emulator.runs[run - 1]?.status !== 'running';
      });
    }
    const task = await gateway.until(id);
    assert.deepEqual(
      [task.status, task.error_code, task.retries],
      ['failed', 'execution_interrupted', 1],
    );
    assert.deepEqual(outcomes(emulator), ['interrupted', 'interrupted']);
    await using strict = new Scene(supplies);
    const once = await strict.gateway([emulator], { env: { MAX_ATTEMPTS: '1' } });
    emulator.faults.failNode('EmulatorSleep', 'boom', 1);
    const failed = await once.until(await once.submit({ url, workflow: 'sleep' }));
    assert.deepEqual([failed.error_code, failed.retries], ['execution_failed', 0]);
  });

  it('keeps what the GPU made while the store refuses it', async () => {
    await using scene = new Scene(supplies);
    const emulator = await scene.emulator();
    const oss = scene.use(await OssServer.start());
    const { region, accessKeyId, accessKeySecret } = oss.credentials;
    const gateway = await scene.gateway([emulator], {
      env: {
        STORAGE: 'oss',
        OSS_ENDPOINT: oss.url,
        OSS_REGION: region,
        OSS_BUCKET: oss.bucketName,
        OSS_ACCESS_KEY_ID: accessKeyId,
        OSS_ACCESS_KEY_SECRET: accessKeySecret,
      },
    });
    oss.fail({ kind: 'answer', status: 403, code: 'AccessDenied' }, { times: 2 });
    const id = await gateway.submit({ url, workflow: 'sleep' });
    const task = await completes(gateway, id);
    assert.equal(task.retries, 0);
    assert.deepEqual(outcomes(emulator), ['success']);
    assert.equal(oss.requests.filter(({ status }) => status === 403).length, 2);
    const results = [...oss.bucket.objects.keys()].filter((key) => !key.endsWith('.thumb.webp'));
    assert.equal(results.length, 1);
  });
});

describe('a task that takes too long', { concurrency: scenesAtOnce }, () => {
  async function expires(gateway: TestGateway, id: string): Promise<void> {
    const task = await gateway.until(id);
    assert.deepEqual([task.status, task.error_code], ['failed', 'queue_timeout']);
    assert.ok(task.stages.every(({ status }) => status === 'skipped'));
  }

  it('fails in the queue after its own time, its workflow’s or that of the settings', async () => {
    await using scene = new Scene(supplies);
    const emulator = await scene.emulator();
    const gateway = await scene.gateway([emulator], { env: { QUEUE_TIMEOUT: '1.5' } });
    const running = await gateway.submit({ url, workflow: 'endless' });
    const staged = await gateway.submit({ url, workflow: 'endless' });
    await gateway.until(staged, ({ status }) => status === 'processing');
    const submitted = await Promise.all([
      gateway.submit({ url, workflow: 'sleep', queue_timeout: 0.5 }),
      gateway.submit({ url, workflow: 'impatient' }),
      gateway.submit({ url, workflow: 'sleep' }),
    ]);
    const patient = await gateway.submit({ url, workflow: 'impatient', queue_timeout: 600 });
    for (const id of submitted) await expires(gateway, id);
    // What has begun is not in the queue, and one's own time goes first.
    for (const id of [running, staged]) assert.equal((await gateway.task(id)).status, 'processing');
    assert.equal((await gateway.task(patient)).status, 'pending');
    assert.equal(emulator.runs.length, 1);
    for (const id of [running, staged]) await gateway.call('DELETE', `/tasks/${id}`);
    await completes(gateway, patient);
    assert.equal(emulator.runs.filter(({ status }) => status === 'success').length, 1);
  });

  it('is interrupted on its GPU and not tried again', async () => {
    await using scene = new Scene(supplies);
    const [one, other] = [await scene.emulator(), await scene.emulator()];
    const gateway = await scene.gateway([one, other]);
    const ids = [
      await gateway.submit({ url, workflow: 'endless', run_timeout: 1 }),
      await gateway.submit({ url, workflow: 'hasty' }),
    ];
    for (const id of ids) {
      const task = await gateway.until(id);
      assert.deepEqual([task.status, task.error_code, task.retries], ['failed', 'run_timeout', 0]);
      assert.equal(task.stages[1]?.status, 'failed');
    }
    for (const emulator of [one, other]) {
      assert.ok(await queueIsEmpty(emulator));
      assert.deepEqual(outcomes(emulator), ['interrupted']);
      await untilBackend(gateway, emulator.url, isIdle);
    }
  });

  it('has the run time of the settings where nobody says another', async () => {
    await using scene = new Scene(supplies);
    const emulator = await scene.emulator();
    const gateway = await scene.gateway([emulator], { env: { RUN_TIMEOUT: '1' } });
    const task = await gateway.until(await gateway.submit({ url, workflow: 'endless' }));
    assert.equal(task.error_code, 'run_timeout');
    await completes(gateway, await gateway.submit({ url, workflow: 'long', run_timeout: 60 }));
  });
});
