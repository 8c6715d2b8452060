import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { pino } from 'pino';
import { Emulator } from '../src/emulator/emulator.ts';
import type { Answer } from './support/gateway-client.ts';
import { GatewayProcess } from './support/gateway-process.ts';
import { scenesAtOnce } from './support/patience.ts';
import {
  type BackendBody,
  backendsOf,
  completes,
  isIdle,
  Scene,
  Supplies,
  untilBackend,
  untilStaged,
  untilTrue,
} from './support/pool-scene.ts';
import { createTestDatabase, urlOf } from './support/test-database.ts';
import { TestGateway } from './support/test-gateway.ts';

let supplies: Supplies;
let url: string;

before(async () => {
  supplies = await Supplies.open();
  url = supplies.url;
});
after(() => supplies[Symbol.asyncDispose]());

async function workflowStats(gateway: TestGateway, name: string) {
  const { body } = await gateway.call('GET', '/monitor/stats');
  return body.workflows.find((each: { name: string }) => each.name === name);
}

const x4 = 'RealESRGAN_x4plus.pth';

describe('what a backend can run', { concurrency: scenesAtOnce }, () => {
  it('decides where a workflow goes, and the stats tell why it goes nowhere else', async () => {
    await using scene = new Scene(supplies);
    const nodeless = await scene.emulator({ withoutNodes: ['EmulatorSleep'] });
    const modelless = await scene.emulator({ withoutModels: [x4] });
    const gateway = await scene.gateway([nodeless, modelless]);

    const sleep = await workflowStats(gateway, 'sleep');
    assert.deepEqual([sleep.runs_on, sleep.of], [1, 2]);
    assert.deepEqual(sleep.why_not, { [nodeless.url]: ['It has no node class EmulatorSleep'] });
    const upscale = await workflowStats(gateway, 'esrgan_image_4x');
    assert.deepEqual([upscale.runs_on, upscale.of], [1, 2]);
    assert.match(upscale.why_not[modelless.url][0], /UpscaleModelLoader .*RealESRGAN_x4plus\.pth/);
    const both = await workflowStats(gateway, 'esrgan_image_2x');
    assert.deepEqual([both.runs_on, both.of, both.why_not], [2, 2, {}]);

    const names = ['sleep', 'sleep', 'esrgan_image_4x', 'sleep', 'esrgan_image_4x'];
    const ids = await Promise.all(names.map((workflow) => gateway.submit({ url, workflow })));
    for (const id of ids) assert.equal((await completes(gateway, id)).retries, 0);
    assert.deepEqual([modelless.runs.length, nodeless.runs.length], [3, 2]);
  });

  it('lets a task be refused at once when no backend can run it', async () => {
    await using scene = new Scene(supplies);
    const emulator = await scene.emulator({ withoutNodes: ['EmulatorSleep'] });
    const gateway = await scene.gateway([emulator]);
    const { status, body } = await gateway.call('POST', '/tasks', { url, workflow: 'sleep' });
    assert.equal(status, 503);
    assert.equal(body.code, 'workflow_unavailable');
    assert.match(body.message, /workflow sleep: It has no node class EmulatorSleep/);
    assert.equal((await gateway.call('GET', '/monitor/stats')).body.tasks.length, 0);
  });

  it('lets a task wait for servers that may come, and tells how many are wanted', async () => {
    await using scene = new Scene(supplies);
    const emulator = await scene.emulator({ withoutNodes: ['EmulatorSleep'] });
    const gateway = await scene.gateway([emulator, 'dns+http://comfyui.invalid:8188']);
    const demand = async (within: string) => {
      const { status, body } = await gateway.call('GET', `/monitor/demand${within}`);
      assert.equal(status, 200);
      return body;
    };
    const workflow = 'sleep';
    const id = await gateway.submit({ url, workflow });
    assert.equal((await gateway.task(id)).status, 'pending');
    // Counts are read twice a second.
    await untilTrue(async () => (await demand('')).workflows.sleep.waiting === 1);
    const wanted = (await demand('')).workflows.sleep;
    assert.equal(wanted.servers_wanted, 1);
    assert.ok(wanted.oldest_wait >= 0 && wanted.oldest_wait < 60);
    const { within, servers_wanted, workflows } = await demand('?within=3600');
    assert.deepEqual([within, servers_wanted], [3_600, 1]);
    assert.deepEqual(workflows.esrgan_image_4x, {
      ...{ waiting: 0, running: 0, oldest_wait: null, servers_wanted: 0 },
    });
    const { status, body } = await gateway.call('GET', '/monitor/demand?within=0');
    assert.deepEqual([status, body.field], [400, 'within']);
  });

  it('is corrected by a prompt that is refused, until it reconnects', async () => {
    await using scene = new Scene(supplies);
    const able = await scene.emulator();
    const unable = await scene.emulator({ withoutNodes: ['EmulatorSleep'] });
    const liar = await scene.proxy(unable.url);
    liar.answerFrom('/object_info', able.url);
    const gateway = await scene.gateway([able, liar]);

    const ids = [
      await gateway.submit({ url, workflow: 'sleep' }),
      await gateway.submit({ url, workflow: 'sleep' }),
    ];
    for (const id of ids) assert.equal((await completes(gateway, id)).retries, 0);
    assert.deepEqual([able.runs.length, unable.runs.length], [2, 0]);
    const marked = await untilBackend(gateway, liar.url, ({ cannot_run }) => 'sleep' in cannot_run);
    assert.match(marked.cannot_run.sleep?.join() ?? '', /EmulatorSleep does not exist/);
    assert.equal((await workflowStats(gateway, 'sleep')).runs_on, 1);

    const posted = () => liar.requests.filter(({ path }) => path === '/prompt').length;
    const refused = posted();
    await completes(gateway, await gateway.submit({ url, workflow: 'sleep' }));
    assert.equal(posted(), refused);

    liar.dropSockets();
    await untilBackend(gateway, liar.url, ({ cannot_run }) => !('sleep' in cannot_run));
  });

  // The older one lets the node fail, the newer one refuses the prompt.
  for (const [loaders, says] of [
    ['0.3.64', /RealESRGAN_x4plus\.pth' not found/],
    ['0.33', /model_name: Value not in list: "RealESRGAN_x4plus\.pth"/],
  ] as const) {
    it(`is corrected by what misses its model, as ${loaders} does`, async () => {
      await using scene = new Scene(supplies);
      const able = await scene.emulator({ loaders });
      const unable = await scene.emulator({ withoutModels: [x4], loaders });
      const liar = await scene.proxy(unable.url);
      liar.answerFrom('/object_info', able.url);
      const gateway = await scene.gateway([able, liar]);
      const workflow = 'esrgan_image_4x';
      const ids = [
        await gateway.submit({ url, workflow }),
        await gateway.submit({ url, workflow }),
        await gateway.submit({ url, workflow }),
      ];
      for (const id of ids) assert.equal((await completes(gateway, id)).retries, 0);
      const runsThere = unable.runs.length;
      const { cannot_run } = await untilBackend(gateway, liar.url, isIdle);
      assert.match(cannot_run[workflow]?.join() ?? '', says);
      await completes(gateway, await gateway.submit({ url, workflow }));
      assert.equal(unable.runs.length, runsThere);
    });
  }

  it('fails a task that every backend has refused, with the reason', async () => {
    await using scene = new Scene(supplies);
    const full = await scene.emulator();
    const unable = await scene.emulator({ withoutNodes: ['EmulatorSleep'] });
    const liars = [await scene.proxy(unable.url), await scene.proxy(unable.url)];
    for (const liar of liars) liar.answerFrom('/object_info', full.url);
    const gateway = await scene.gateway(liars);
    const task = await gateway.until(await gateway.submit({ url, workflow: 'sleep' }));
    assert.deepEqual([task.status, task.error_code], ['failed', 'workflow_unsupported']);
    assert.match(task.error ?? '', /EmulatorSleep does not exist/);
    assert.equal(task.retries, 0);
    for (const liar of liars) {
      assert.equal(liar.requests.filter(({ path }) => path === '/prompt').length, 1);
    }
    // From then on it is said at once.
    const { body } = await gateway.call('POST', '/tasks', { url, workflow: 'sleep' });
    assert.equal(body.code, 'workflow_unavailable');
  });

  it('is learnt anew when it comes back with other nodes, also for a task that waits', async () => {
    await using scene = new Scene(supplies);
    const other = await scene.emulator();
    const first = await Emulator.start();
    scene.defer(() => first.close());
    const port = Number(new URL(first.url).port);
    const gateway = await scene.gateway([first, other]);
    // Each has one on its GPU and one in front of it.
    const ids = [];
    for (let i = 0; i < 4; i += 1) ids.push(await gateway.submit({ url, workflow: 'long' }));
    await untilTrue(() => first.runs.length + other.runs.length === 2);
    await untilStaged(gateway, first.url);
    await first.close();
    const second = await scene.emulator({ port, withoutNodes: ['EmulatorSleep'] });
    for (const id of ids) await completes(gateway, id);
    assert.equal(second.runs.length, 0);
    const { cannot_run } = await untilBackend(gateway, second.url, isIdle);
    assert.deepEqual(cannot_run.sleep, ['It has no node class EmulatorSleep']);
  });
});

describe('the states of a backend', { concurrency: scenesAtOnce }, () => {
  it('are told with their reason and their time, in both places', async () => {
    await using scene = new Scene(supplies);
    const emulator = await scene.emulator();
    const gateway = await scene.gateway([emulator.url, 'http://127.0.0.1:1']);
    const idle = await untilBackend(gateway, emulator.url, isIdle);
    assert.equal(idle.reason, 'connected');
    const away = await untilBackend(gateway, 'http://127.0.0.1:1', ({ reason }) =>
      reason.startsWith('not reached:'),
    );
    assert.equal(away.state, 'offline');
    assert.match(away.reason, /ECONNREFUSED/);

    const id = await gateway.submit({ url, workflow: 'long' });
    const busy = await untilBackend(gateway, emulator.url, ({ state }) => state === 'busy');
    assert.equal(busy.reason, 'it has a task');
    assert.ok(Date.parse(busy.since ?? '') >= Date.parse(idle.since ?? ''));
    const { body } = await gateway.call('GET', '/monitor/stats');
    const told = body.pool_status.find((each: BackendBody) => each.address === emulator.url);
    assert.deepEqual(
      [told.status, told.reason, told.since, told.task_id],
      ['busy', busy.reason, busy.since, id],
    );
    assert.equal(body.system.active_workers, 1);
    await completes(gateway, id);
    assert.equal((await untilBackend(gateway, emulator.url, isIdle)).reason, 'its GPU is free');

    await emulator.close();
    const lost = await untilBackend(gateway, emulator.url, ({ state }) => state === 'offline');
    assert.match(lost.reason, /connection lost|not reached/);
  });

  it('says when something in front of a server does not pass its WebSocket on', async () => {
    await using scene = new Scene(supplies);
    const proxy = await scene.proxy((await scene.emulator()).url);
    const lines: { msg: string; reason?: string }[] = [];
    const write = (line: string) => void lines.push(JSON.parse(line));
    const logger = pino({ base: null }, { write });
    proxy.refuseUpgrades(403);
    const gateway = await scene.gateway([proxy.url], { logger });
    const { state } = await untilBackend(gateway, proxy.url, ({ reason }) =>
      reason.startsWith('not reached: its WebSocket is refused (status 403): something in front'),
    );
    assert.equal(state, 'offline');
    const told = lines.filter(({ reason }) => reason?.includes('status 403'));
    // It is said once, and by one name.
    const warnings = told.map(({ msg }) => msg).filter((msg) => msg !== 'backend.state');
    assert.deepEqual(warnings, ['backend.socket-refused']);
    proxy.refuseUpgrades(null);
    await untilBackend(gateway, proxy.url, isIdle);
  });

  it('says what keeps a server that answers out of service', async () => {
    await using scene = new Scene(supplies);
    const emulator = await scene.emulator();
    const proxy = await scene.proxy(emulator.url);
    const nothing = await scene.proxy('http://127.0.0.1:1');
    proxy.answerFrom('/object_info', nothing.url);
    const gateway = await scene.gateway([proxy.url]);
    const { state } = await untilBackend(gateway, proxy.url, ({ reason }) =>
      reason.startsWith('not known yet: '),
    );
    assert.equal(state, 'offline');
    proxy.answerFrom('/object_info', emulator.url);
    await untilBackend(gateway, proxy.url, isIdle);
  });

  it('lets a drained backend end its task and gives it no more until it is resumed', async () => {
    await using scene = new Scene(supplies);
    const [drained, other] = [await scene.emulator(), await scene.emulator()];
    const gateway = await scene.gateway([drained, other]);
    const { id } = await untilBackend(gateway, drained.url, isIdle);
    const ids: string[] = [];
    for (let i = 0; i < 4; i += 1) ids.push(await gateway.submit({ url, workflow: 'long' }));
    await untilTrue(() => drained.runs.length === 1 && other.runs.length === 1);
    await untilStaged(gateway, drained.url);

    const { status, body } = await gateway.call('PATCH', `/backends/${id}`, { wanted: 'draining' });
    assert.deepEqual([status, body.wanted], [200, 'draining']);
    const told = await untilBackend(gateway, drained.url, ({ state }) => state === 'draining');
    assert.equal(told.reason, 'drained by an operator');
    for (const each of ids) assert.equal((await completes(gateway, each)).retries, 0);
    assert.deepEqual([drained.runs.map((run) => run.status), other.runs.length], [['success'], 3]);

    await gateway.call('PATCH', `/backends/${id}`, { wanted: 'active' });
    await untilBackend(gateway, drained.url, isIdle);
    const more = [
      await gateway.submit({ url, workflow: 'long' }),
      await gateway.submit({ url, workflow: 'long' }),
    ];
    for (const each of more) await completes(gateway, each);
    assert.equal(drained.runs.length, 2);
  });

  it('puts a task that was made ready back into the queue, uncounted, where there is no other', async () => {
    await using scene = new Scene(supplies);
    const emulator = await scene.emulator();
    const gateway = await scene.gateway([emulator.url]);
    const { id } = await untilBackend(gateway, emulator.url, isIdle);
    const running = await gateway.submit({ url, workflow: 'long' });
    const staged = await gateway.submit({ url, workflow: 'long' });
    await untilTrue(() => emulator.runs.length === 1);
    assert.equal(await untilStaged(gateway, emulator.url), staged);
    await gateway.call('PATCH', `/backends/${id}`, { wanted: 'draining' });
    await completes(gateway, running);
    const waiting = await gateway.until(staged, ({ status }) => status === 'pending');
    assert.deepEqual([waiting.retries, waiting.error], [0, null]);
    assert.ok(waiting.stages.every((stage) => stage.status === 'pending'));
    assert.equal(emulator.runs.length, 1);
    await gateway.call('PATCH', `/backends/${id}`, { wanted: 'active' });
    assert.equal((await completes(gateway, staged)).retries, 0);
  });
});

describe('the members of a pool', { concurrency: scenesAtOnce }, () => {
  it('may be none at the start: tasks wait until one is added', async () => {
    await using scene = new Scene(supplies);
    const emulator = await scene.emulator();
    const gateway = await scene.gateway([]);
    assert.deepEqual(await backendsOf(gateway), []);
    const id = await gateway.submit({ url, workflow: 'sleep' });
    assert.equal((await gateway.task(id)).status, 'pending');
    const added = await gateway.call('POST', '/backends', { url: emulator.url });
    assert.equal(added.status, 201);
    assert.equal(added.body.address, emulator.url);
    assert.equal(added.body.fixed, false);
    await completes(gateway, id);

    const again = await gateway.call('POST', '/backends', { url: `${emulator.url}/` });
    assert.deepEqual([again.status, again.body.code], [409, 'backend_exists']);
  });

  it('are refused with the field when their address is none', async () => {
    await using scene = new Scene(supplies);
    const gateway = await scene.gateway([]);
    const bodies = [
      {},
      { url: null },
      { url: 8188 },
      { url: '' },
      { url: 'comfy' },
      { url: 'ftp://u:hush@10.0.0.7' },
      { url: 'http://u:hush@' },
      { url: 'http://u:hush%@10.0.0.7' },
      { url: 'http://u:hush@10.0.0.7:8188/?token=hush' },
      { url: 'dns+http://comfy:8188' },
      { url: `http://10.0.0.7/${'x'.repeat(2_000)}` },
    ];
    for (const body of bodies) {
      const answer = await gateway.call('POST', '/backends', body);
      assert.deepEqual(
        [answer.status, answer.body.code, answer.body.field],
        [400, 'invalid_request', 'url'],
        JSON.stringify(body),
      );
      assert.doesNotMatch(JSON.stringify(answer.body), /hush/);
    }
    assert.deepEqual(await backendsOf(gateway), []);
  });

  it('are unknown by an id that is none of theirs', async () => {
    await using scene = new Scene(supplies);
    const gateway = await scene.gateway([]);
    for (const id of ['000000000000', 'x', '%00', `${'x'.repeat(500)}`]) {
      const patch = await gateway.call('PATCH', `/backends/${id}`, { wanted: 'draining' });
      assert.deepEqual([patch.status, patch.body.code], [404, 'backend_unknown']);
      const remove = await gateway.call('DELETE', `/backends/${id}`);
      assert.deepEqual([remove.status, remove.body.code], [404, 'backend_unknown']);
    }
  });

  it('stay when they stand in the settings, and take no other wish than two', async () => {
    await using scene = new Scene(supplies);
    const emulator = await scene.emulator();
    const gateway = await scene.gateway([emulator.url]);
    const { id, fixed } = await untilBackend(gateway, emulator.url, isIdle);
    assert.equal(fixed, true);
    const removed = await gateway.call('DELETE', `/backends/${id}`);
    assert.deepEqual([removed.status, removed.body.code], [409, 'backend_fixed']);
    const wish = await gateway.call('PATCH', `/backends/${id}`, { wanted: 'removed' });
    assert.deepEqual([wish.status, wish.body.field], [400, 'wanted']);
    const twice = await gateway.call('POST', '/backends', { url: emulator.url });
    assert.deepEqual([twice.status, twice.body.code], [409, 'backend_exists']);
    assert.equal((await backendsOf(gateway))[0]?.state, 'idle');
  });

  it('end what they work on before they go, whatever else waits', async () => {
    await using scene = new Scene(supplies);
    const [leaving, staying] = [await scene.emulator(), await scene.emulator()];
    const gateway = await scene.gateway([staying]);
    const { body: added } = await gateway.call('POST', '/backends', { url: leaving.url });
    await untilBackend(gateway, leaving.url, isIdle);
    const ids: string[] = [];
    for (let i = 0; i < 5; i += 1) ids.push(await gateway.submit({ url, workflow: 'long' }));
    await untilTrue(() => leaving.runs.length === 1);
    await untilStaged(gateway, leaving.url);

    const { status, body } = await gateway.call('DELETE', `/backends/${added.id}`);
    assert.deepEqual([status, body], [200, { status: 'removed' }]);
    const told = await untilBackend(gateway, leaving.url, ({ state }) => state === 'draining');
    assert.deepEqual([told.wanted, told.reason], ['removed', 'it leaves the pool']);
    await untilTrue(async () => (await backendsOf(gateway)).length === 1);
    for (const id of ids) assert.equal((await completes(gateway, id)).retries, 0);
    assert.deepEqual(
      leaving.runs.map((run) => run.status),
      ['success'],
    );
    assert.equal(staying.runs.length, 4);
    // It may come back.
    const back = await gateway.call('POST', '/backends', { url: leaving.url });
    assert.equal(back.status, 201);
    await untilBackend(gateway, leaving.url, isIdle);
  });

  it('survive a restart of the gateway when they were added at run time', async () => {
    await using scene = new Scene(supplies);
    const emulator = await scene.emulator();
    const proxy = await scene.proxy(emulator.url);
    const database = scene.use(await createTestDatabase('postgres'));
    const first = await TestGateway.start({
      engine: 'postgres',
      backends: [],
      env: supplies.env,
      database,
    });
    const withPassword = proxy.url.replace('http://', 'http://me:hush@');
    await first.call('POST', '/backends', { url: withPassword });
    await untilBackend(first, proxy.url, isIdle);
    await first[Symbol.asyncDispose]();

    const asked = proxy.requests.length;
    const second = await scene.gateway([], { database });
    await untilBackend(second, proxy.url, isIdle);
    await completes(second, await second.submit({ url, workflow: 'sleep' }));
    const basic = `Basic ${Buffer.from('me:hush').toString('base64')}`;
    assert.ok(proxy.requests.slice(asked).every(({ authorization }) => authorization === basic));
  });

  it('never show their credentials, neither to people nor in the log', async () => {
    await using scene = new Scene(supplies);
    const emulator = await scene.emulator();
    const proxy = await scene.proxy(emulator.url);
    const database = scene.use(await createTestDatabase('postgres'));
    const databaseUrl = urlOf(database);
    const fixed = proxy.url.replace('http://', 'http://me:hush@');
    const gateway = scene.use(
      await GatewayProcess.start({
        ...supplies.env,
        DATABASE_URL: databaseUrl,
        COMFYUI_BACKENDS: fixed,
        LOG_LEVEL: 'trace',
      }),
    );
    const { client } = gateway;
    const answers: Answer[] = [];
    const add = async (address: string) =>
      answers.push(await client.call('POST', '/backends', { url: address }));
    await add('http://me:hush@127.0.0.1:1');
    await add('http://me:hush@127.0.0.1:1');
    await add('http://me:hush@127.0.0.1:2/?x=hush');
    // A statement that fails is quoted by the driver with its values.
    await breakBackends(databaseUrl);
    await add('http://me:hush@127.0.0.1:3');
    assert.deepEqual(
      answers.map(({ status }) => status),
      [201, 409, 400, 500],
    );
    await untilTrue(async () => {
      const answer = await client.call('GET', '/backends');
      answers.push(answer);
      return answer.body.backends.some(({ reason }: BackendBody) =>
        reason.includes('ECONNREFUSED'),
      );
    });
    answers.push(await client.call('GET', '/monitor/stats'));
    await untilTrue(() => gateway.log.some(({ msg }) => msg === 'request.failed'));
    const basic = Buffer.from('me:hush').toString('base64');
    for (const text of [JSON.stringify(answers), JSON.stringify(gateway.log)]) {
      assert.doesNotMatch(text, /hush/);
      assert.ok(!text.includes(basic));
    }
    assert.equal(await gateway.end('SIGTERM'), 0);
  });

  it('may be found behind a DNS name', async () => {
    await using scene = new Scene(supplies);
    const emulator = await scene.emulator();
    const { port } = new URL(emulator.url);
    const gateway = await scene.gateway([`dns+http://localhost:${port}`]);
    const { fixed } = await untilBackend(gateway, `http://127.0.0.1:${port}`, isIdle);
    assert.equal(fixed, true);
    await completes(gateway, await gateway.submit({ url, workflow: 'sleep' }));
    assert.equal((await backendsOf(gateway)).length, 1);
  });
});

async function breakBackends(databaseUrl: string): Promise<void> {
  const { default: postgres } = await import('postgres');
  const sql = postgres(databaseUrl, { max: 1 });
  await sql`alter table backends add constraint no_third check (url not like '%:3')`;
  await sql.end();
}
