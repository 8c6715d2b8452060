import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { request } from 'undici';
import { Emulator } from '../../src/emulator/emulator.ts';
import { type Answer, type Caller, describeDialect } from '../suites/dialect.suite.ts';
import { openBrowser } from '../support/browser.ts';
import { eventually } from '../support/eventually.ts';
import type { GatewayClient } from '../support/gateway-client.ts';
import { assertGolden } from '../support/golden.ts';
import { sampleMp4, samplePng } from '../support/media-samples.ts';
import { patienceMs } from '../support/patience.ts';
import { SourceServer } from '../support/source-server.ts';
import { enginesAboveStores } from '../support/test-database.ts';
import { TestGateway } from '../support/test-gateway.ts';
import { createTestWorkflows, sleepGraph } from '../support/test-workflows.ts';

const pipeline = 'image_super_resolution_pipeline';
const tasksPath = '/api/v1/tasks';
/** On a busy machine no task shall be late but where that is what it is about. */
const patient = { TASK_MANAGER_QUEUE_TIMEOUT: '600' };

const phases = {
  PENDING: ['waiting'],
  RECEIVED: ['running', 'waiting'],
  STARTED: ['running'],
  SUCCESS: ['completed'],
  FAILURE: ['failed'],
  TIMEOUT: ['failed'],
  REVOKED: ['canceled'],
} as const;

const post = (caller: Caller, json: unknown) => caller.send('POST', tasksPath, { json });

describeDialect({
  name: 'task-manager',
  prefix: '/task-manager',
  env: patient,
  submit: (caller, { url }) => post(caller, { task_name: pipeline, args: [url] }),
  acceptedStatus: 202,
  idOf: ({ body }) => body.task_id,
  status: (caller, id) => caller.send('GET', `${tasksPath}/${encodeURIComponent(id)}`),
  phasesOf: ({ body }) => phases[body.state as keyof typeof phases],
  cancel: (caller, id) => caller.send('DELETE', `${tasksPath}/${id}`),
  async result(_, { body }) {
    return Buffer.from(await (await fetch(body.result.output_url)).arrayBuffer());
  },
  scale: 4,
  refused: {
    'a body that is no JSON': {
      send: (caller) => caller.send('POST', tasksPath),
      says: '^task_name: is required',
    },
    'an unknown task name': {
      send: (caller) => post(caller, { task_name: 'nope' }),
      says: `^task_name: there is no task nope; known: ${pipeline}$`,
    },
    'a task without a source': {
      send: (caller) => post(caller, { task_name: pipeline, args: [] }),
      says: '^image_url: .* needs the address of an image',
    },
    'a source that is no address': {
      send: (caller) => post(caller, { task_name: pipeline, args: ['ftp://example.com/a.png'] }),
      says: '^image_url: ',
    },
    'a source of our own network': {
      send: (caller) => post(caller, { task_name: pipeline, args: ['http://10.0.0.1/a.png'] }),
      says: '^image_url: ',
    },
    'a target of our own network': {
      send: (caller, { url }) =>
        post(caller, { task_name: pipeline, args: [url, 'http://169.254.169.254/latest'] }),
      says: '^upload_url: ',
    },
    'a source that is given twice': {
      send: (caller, { url }) =>
        post(caller, { task_name: pipeline, args: [url], kwargs: { image_url: url } }),
      says: '^image_url: is given twice',
    },
    'a third argument': {
      send: (caller, { url }) => post(caller, { task_name: pipeline, args: [url, null, url] }),
      says: '^args: takes image_url and upload_url',
    },
    'arguments of a wrong type': {
      send: (caller) => post(caller, { task_name: pipeline, args: [7] }),
      says: '^args\\.0: must be the address',
    },
    'args that are no array': {
      send: (caller, { url }) => post(caller, { task_name: pipeline, args: url }),
      says: '^args: must be an array',
    },
    'kwargs that are no object': {
      send: (caller, { url }) => post(caller, { task_name: pipeline, args: [url], kwargs: [] }),
      says: '^kwargs: must be an object',
    },
    'a parameter that the workflow does not have': {
      send: (caller, { url }) =>
        post(caller, { task_name: pipeline, args: [url], kwargs: { strength: 1 } }),
      says: '^kwargs\\.strength: ',
    },
    'a priority out of range': {
      send: (caller, { url }) => post(caller, { task_name: pipeline, args: [url], priority: 11 }),
      says: '^priority: must be at most 10',
    },
    'a sync that is neither true nor false': {
      send: (caller, { url }) => post(caller, { task_name: pipeline, args: [url], sync: 'yes' }),
      says: '^sync: must be true or false',
    },
    'a request nested too deeply': {
      send: (caller, { url }) =>
        post(caller, {
          task_name: pipeline,
          args: [url],
          kwargs: { a: JSON.parse('['.repeat(1_000) + ']'.repeat(1_000)) },
        }),
      says: 'nested too deeply',
    },
    'a body that is too large': {
      send: (caller, { url }) =>
        post(caller, { task_name: pipeline, args: [url], x: 'x'.repeat(2 * 1024 * 1024) }),
      says: '^The body is larger than 1 MB',
    },
  },
  oddIds: ['0', '550e8400-e29b-41d4-a716-446655440000', '%00', 'ä'.repeat(500), '../tasks', ' '],
  errorOf: ({ body }: Answer) => {
    assert.deepEqual(Object.keys(body), ['detail']);
    return body.detail;
  },
});

interface Received {
  readonly url: string | undefined;
  readonly type: string | undefined;
  readonly bytes: Buffer;
}

/** Takes one PUT after the other, as a presigned address does. */
class TargetServer implements AsyncDisposable {
  readonly received: Received[] = [];
  /** The status of its answers. */
  status = 200;
  readonly #server: Server;

  constructor() {
    this.#server = createServer(async (incoming, response) => {
      const bytes = Buffer.concat(await Array.fromAsync(incoming));
      this.received.push({ url: incoming.url, type: incoming.headers['content-type'], bytes });
      response.writeHead(this.status).end();
    });
  }

  async listen(): Promise<this> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return this;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

const varying = {
  fields: ['submitted_at', 'started_at', 'completed_at', 'detail'],
  texts: [[/http:\/\/127\.0\.0\.1:\d+/, '<host>']] as const,
};
/** Where what is wrong stands in `detail`. */
const varyingTimes = { ...varying, fields: [...varying.fields.slice(0, 3), 'progress'] };

for (const engine of enginesAboveStores) {
  describe(`the task manager on ${engine}`, () => {
    const cleanup = new AsyncDisposableStack();
    let emulator: Emulator;
    let sources: SourceServer;
    let target: TargetServer;
    let gateway: TestGateway;
    let env: Record<string, string>;
    let wide: string;
    let corrupt: string;

    before(async () => {
      emulator = cleanup.use(await Emulator.start());
      sources = cleanup.use(await SourceServer.start());
      target = cleanup.use(await new TargetServer().listen());
      const workflows = cleanup.use(await createTestWorkflows(0.05));
      await workflows.write('seeded', {
        ...sleepGraph(0.01),
        '2': {
          class_type: 'EmulatorSleep',
          inputs: { image: ['1', 0], seconds: 0.01 },
          _meta: { title: '@param:seconds' },
        },
      });
      env = {
        ...patient,
        SOURCE_ALLOW: sources.host,
        TARGET_ALLOW: target.host,
        WORKFLOWS_DIR: workflows.folder,
        TASK_NAMES: `${pipeline}=esrgan_image_4x,film=esrgan_video_2x.json,sleep=sleep,tuned=seeded`,
      };
      gateway = cleanup.use(await start());
      wide = sources.file('input.png', await samplePng({ width: 32, height: 18, seed: 1 }));
      corrupt = sources.file('corrupt.png', Buffer.from('not a picture at all'));
    });
    after(() => cleanup.disposeAsync());

    const start = (settings: Record<string, string> = {}) =>
      TestGateway.start({ engine, backends: [emulator.url], env: { ...env, ...settings } });

    const submit = (body: object, on: GatewayClient = gateway) => on.call('POST', tasksPath, body);
    const status = (id: string, on: GatewayClient = gateway) =>
      on.call('GET', `${tasksPath}/${id}`);
    const cleanUp = (id: string) => gateway.call('DELETE', `${tasksPath}/${id}`);

    async function submitted(body: object, on: GatewayClient = gateway): Promise<string> {
      const answer = await submit(body, on);
      assert.equal(answer.status, 202, JSON.stringify(answer.body));
      return answer.body.task_id;
    }

    async function reaches(id: string, state: string, on: GatewayClient = gateway) {
      return await eventually(async () => {
        const answer = await status(id, on);
        assert.equal(answer.body.state, state, JSON.stringify(answer.body));
        return answer;
      });
    }

    it('answers as documented from the submission to the clean-up', async () => {
      const upload = `http://${target.host}/bucket/output.jpg?X-Amz-Signature=secret`;
      const accepted = await submit({ task_name: pipeline, args: [wide, upload], kwargs: {} });
      await assertGolden('task-manager/submit', accepted, varying);
      const { task_id: id, submitted_at } = accepted.body;
      assert.match(submitted_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
      const done = await reaches(id, 'SUCCESS');
      await assertGolden('task-manager/status-success', done, varying);
      assert.equal(done.body.result.task_id, id);
      assert.equal(done.body.result.input_url, wide);
      assert.equal(done.body.result.output_url, upload.replace(/\?.*/, ''));

      const [put] = target.received.splice(0);
      assert.equal(put?.url, '/bucket/output.jpg?X-Amz-Signature=secret');
      assert.equal(put.type, 'image/jpeg');
      const { format, width, height } = await sharp(put.bytes).metadata();
      assert.deepEqual([format, width, height], ['jpeg', 128, 72]);

      const cleaned = await cleanUp(id);
      await assertGolden('task-manager/cleanup', cleaned, varying);
      assert.equal(cleaned.body.message, `Task ${id} cleaned up`);
      await assertGolden('task-manager/not-found', await status(id));
      assert.equal((await cleanUp(id)).status, 404);
    });

    it('tells nobody where a result may be written to', async () => {
      const upload = `http://${target.host}/a.png?X-Amz-Signature=secret`;
      const id = await submitted({
        task_name: 'sleep',
        kwargs: { image_url: wide, upload_url: upload },
      });
      const { body } = await reaches(id, 'SUCCESS');
      const { body: stats } = await gateway.call('GET', '/monitor/stats');
      assert.ok(stats.tasks.some(({ params }: { params: object }) => 'task_name' in params));
      assert.doesNotMatch(JSON.stringify([body, stats]), /secret/);
    });

    it('keeps a result that has no target, until it is cleaned up', async () => {
      const id = await submitted({ task_name: 'sleep', args: [wide] });
      const { body } = await reaches(id, 'SUCCESS');
      const { output_url: url } = body.result;
      assert.equal((await request(url, { method: 'HEAD' })).statusCode, 200);
      assert.equal((await cleanUp(id)).status, 200);
      assert.equal((await request(url, { method: 'HEAD' })).statusCode, 404);
      assert.equal((await status(id)).status, 404);
    });

    it('fails a task whose target refuses the result', async () => {
      target.status = 403;
      try {
        const upload = `http://${target.host}/output.png`;
        const id = await submitted({ task_name: 'sleep', args: [wide, upload] });
        const { body } = await reaches(id, 'FAILURE');
        assert.match(body.error, /does not take it: it answers 403/);
      } finally {
        target.status = 200;
        target.received.length = 0;
      }
    });

    it('says why a task failed, and forgets it when it is cleaned up', async () => {
      const id = await submitted({ task_name: pipeline, args: [corrupt] });
      await assertGolden('task-manager/status-failure', await reaches(id, 'FAILURE'), varyingTimes);
      assert.equal((await cleanUp(id)).status, 200);
      assert.equal((await status(id)).status, 404);
    });

    it('revokes a task that has not ended, and forgets it the second time', async () => {
      emulator.faults.stall(true);
      try {
        const running = await submitted({ task_name: 'sleep', args: [wide] });
        const begun = await eventually(async () => {
          const answer = await reaches(running, 'STARTED');
          assert.notEqual(answer.body.stages[1].detail, null);
          return answer;
        });
        await assertGolden('task-manager/status-started', begun, {
          ...varying,
          fields: [...varying.fields, 'progress'],
        });
        const staged = await submitted({ task_name: 'sleep', args: [wide] });
        const received = await eventually(async () => {
          const answer = await reaches(staged, 'RECEIVED');
          assert.equal(answer.body.stages[0].state, 'SUCCESS');
          return answer;
        });
        await assertGolden('task-manager/status-received', received, varying);
        const waiting = await submitted({ task_name: 'sleep', args: [wide] });
        await assertGolden('task-manager/status-pending', await status(waiting), varying);
        for (const id of [waiting, staged, running]) {
          assert.equal((await cleanUp(id)).status, 200);
          assert.equal((await status(id)).body.state, 'REVOKED');
        }
        await assertGolden('task-manager/status-revoked', await status(waiting), varyingTimes);
        assert.equal((await cleanUp(waiting)).status, 200);
        assert.equal((await status(waiting)).status, 404);
      } finally {
        emulator.faults.stall(false);
      }
    });

    it('classifies by the shape of the input', async () => {
      for (const [width, height, category, ratio] of [
        [30, 60, 'portrait', 0.5],
        [31, 30, 'general', 1.03],
        [48, 32, 'landscape', 1.5],
      ] as const) {
        const url = sources.file(`${category}.png`, await samplePng({ width, height, seed: 2 }));
        const { status, body } = await submit({ task_name: 'sleep', args: [url], sync: true });
        assert.equal(status, 200);
        const { classification } = body.result;
        assert.deepEqual(classification, { category, width, height, aspect_ratio: ratio });
      }
    });

    it('works on clips under a name that stands for a workflow of clips', async () => {
      const clip = { width: 32, height: 24, frames: 4, fps: 8 };
      const url = sources.file('clip.mp4', await sampleMp4(clip));
      const { body } = await submit({ task_name: 'film', args: [url], sync: true });
      assert.equal(body.state, 'SUCCESS', body.error);
      assert.equal(body.result.classification.category, 'landscape');
      assert.match(body.result.output_url, /\/clip\.mp4$/);
    });

    it('hands names beyond its own to the workflow', async () => {
      const names = (await gateway.call('GET', '/api/v1/task-names')).body.task_names;
      assert.deepEqual(
        names.map(({ task_name }: { task_name: string }) => task_name),
        ['film', pipeline, 'sleep', 'tuned'],
      );
      assert.deepEqual(names[3].parameters, ['image_url', 'upload_url', 'seconds']);
      assert.equal(names[1].available, true);
      const tuned = (seconds: unknown) =>
        submit({ task_name: 'tuned', args: [wide], kwargs: { seconds }, sync: true });
      assert.equal((await tuned(0.02)).body.state, 'SUCCESS');
      const { status, body } = await tuned('long');
      assert.equal(status, 400);
      assert.match(body.detail, /^kwargs\.seconds: /);
    });

    describe('with sync', () => {
      it('answers when the task has ended, well or not', async () => {
        const done = await submit({ task_name: pipeline, args: [wide], sync: true });
        assert.equal(done.status, 200);
        assert.equal(done.body.state, 'SUCCESS');
        assert.ok(done.body.result.output_url);
        const failed = await submit({ task_name: pipeline, args: [corrupt], sync: true });
        assert.equal(failed.status, 200);
        assert.equal(failed.body.state, 'FAILURE');
        assert.equal(failed.body.result, null);
      });

      it('lets go of the request after a while, and the task goes on', async () => {
        await using brief = await start({ TASK_MANAGER_SYNC_TIMEOUT: '1' });
        emulator.faults.stall(true);
        let id: string;
        try {
          const { status, body } = await submit(
            { task_name: 'sleep', args: [wide], sync: true },
            brief,
          );
          assert.equal(status, 202);
          assert.ok(['PENDING', 'RECEIVED', 'STARTED'].includes(body.state));
          assert.equal(body.result, null);
          id = body.task_id;
        } finally {
          emulator.faults.stall(false);
        }
        await reaches(id, 'SUCCESS', brief);
      });

      it('goes on with the task when its client has gone', async () => {
        emulator.faults.stall(true);
        let id: string;
        try {
          const gone = new AbortController();
          const priority = 7;
          const held = fetch(`${gateway.url}${tasksPath}`, {
            method: 'POST',
            signal: gone.signal,
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify({ task_name: 'sleep', args: [wide], sync: true, priority }),
          });
          const [task] = await eventually(async () => {
            const found = (await gateway.newest()).filter(({ params }) => params.priority === 7);
            assert.equal(found.length, 1);
            return found;
          });
          gone.abort();
          await assert.rejects(held);
          id = task?.task_id.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-') ?? '';
        } finally {
          emulator.faults.stall(false);
        }
        await reaches(id, 'SUCCESS');
      });

      it('answers with the id when the gateway is asked to stop', async () => {
        await using other = new AsyncDisposableStack();
        const stopping = other.use(await start());
        emulator.faults.stall(true);
        try {
          const held = submit({ task_name: 'sleep', args: [wide], sync: true }, stopping);
          await eventually(async () => assert.equal((await stopping.newest()).length, 1));
          await other.disposeAsync();
          const { status, body } = await held;
          assert.equal(status, 202);
          assert.match(body.task_id, /^[0-9a-f-]{36}$/);
        } finally {
          emulator.faults.stall(false);
        }
      });
    });

    it('ends what waits too long, and counts everything that ends', async () => {
      await using strict = await start({ TASK_MANAGER_QUEUE_TIMEOUT: '0.3' });
      const metrics = async (): Promise<string> => {
        const { headers, body } = await request(`${strict.url}/dashboard/metrics`);
        assert.match(String(headers['content-type']), /^text\/plain; version=0\.0\.4/);
        return await body.text();
      };
      /** Of the samples with these labels, in whatever order. */
      const sampleOf = (text: string, name: string, ...labels: string[]): number => {
        const found = text
          .split('\n')
          .filter((line) => line.startsWith(`${name}{`) && labels.every((l) => line.includes(l)));
        assert.equal(found.length, 1, `${name} ${labels}: ${found}`);
        return Number(found[0]?.split(' ').at(-1));
      };
      await eventually(async () => {
        assert.equal(sampleOf(await metrics(), 'active_workers', 'worker_type="gpu"'), 1);
      });
      const call = { task_name: 'sleep', args: [wide] };
      const done = await submit({ ...call, sync: true }, strict);
      assert.equal(done.body.state, 'SUCCESS');
      await submit({ ...call, args: [corrupt], sync: true }, strict);
      // What other dialects do is none of its counters' business.
      await strict.until(await strict.submit({ url: wide, workflow: 'sleep' }));
      emulator.faults.stall(true);
      try {
        const running = await submitted(call, strict);
        await reaches(running, 'STARTED', strict);
        const staged = await submitted(call, strict);
        await reaches(staged, 'RECEIVED', strict);
        const late = await submitted(call, strict);
        const timedOut = await reaches(late, 'TIMEOUT', strict);
        await assertGolden('task-manager/status-timeout', timedOut, varyingTimes);
        for (const id of [staged, running, running]) {
          assert.equal((await strict.call('DELETE', `${tasksPath}/${id}`)).status, 200);
        }
      } finally {
        emulator.faults.stall(false);
      }
      const text = await metrics();
      const sleep = 'task_name="sleep"';
      assert.equal(sampleOf(text, 'tasks_submitted_total', sleep), 5);
      for (const [state, count] of Object.entries({
        success: 1,
        failure: 1,
        timeout: 1,
        revoked: 2,
      })) {
        const ended = sampleOf(text, 'tasks_completed_total', sleep, `status="${state}"`);
        assert.equal(ended, count, state);
      }
      assert.equal(sampleOf(text, 'tasks_timeout_total', sleep), 1);
      assert.equal(sampleOf(text, 'tasks_submitted_total', 'task_name="film"'), 0);
      const gpu = 'worker_type="gpu"';
      assert.equal(sampleOf(text, 'task_duration_seconds_count', sleep, gpu), 2);
      assert.ok(sampleOf(text, 'task_duration_seconds_bucket', sleep, gpu, 'le="5.0"') <= 2);
      assert.equal(sampleOf(text, 'task_duration_seconds_bucket', sleep, gpu, 'le="+Inf"'), 2);
      assert.equal(sampleOf(text, 'task_queue_time_seconds_count', 'queue_name="sleep"'), 5);
      const id = `gpu_id="${emulator.url}"`;
      assert.ok(sampleOf(text, 'gpu_utilization_percent', id) > 0);
      assert.equal(sampleOf(text, 'queue_depth', 'queue_name="esrgan_image_4x"'), 0);
    });

    it('tells that it is well in its own words where nobody else has the path', async () => {
      const health = await gateway.call('GET', '/task-manager/health');
      await assertGolden('task-manager/health', health);
      const unknown = await submit({ task_name: 'nope' });
      await assertGolden('task-manager/unknown-name', unknown);
    });
  });
}

describe("the task manager's dashboard", () => {
  const cleanup = new AsyncDisposableStack();
  let gateway: TestGateway;

  before(async () => {
    const emulator = cleanup.use(await Emulator.start());
    gateway = cleanup.use(
      await TestGateway.start({
        engine: 'pglite',
        backends: [emulator.url],
        env: { API_KEYS: 'alice:alice-secret-0123456789' },
      }),
    );
  });
  after(() => cleanup.disposeAsync());

  it('asks for a key as everything else', async () => {
    for (const path of ['/dashboard', '/dashboard/metrics', '/api/v1/task-names']) {
      const { status, body } = await gateway.call('GET', path);
      assert.equal(status, 401, path);
      assert.deepEqual(Object.keys(body), ['detail']);
    }
    assert.equal((await gateway.call('GET', '/task-manager/health')).status, 200);
  });

  it('shows the pool in a browser, loads nothing and refreshes itself', {
    timeout: patienceMs,
  }, async () => {
    await using browser = await openBrowser();
    await using context = await browser.newContext({
      extraHTTPHeaders: { 'x-api-key': 'alice-secret-0123456789' },
    });
    for (const at of ['/dashboard', '/task-manager/dashboard']) {
      await using page = await context.newPage();
      const requests: string[] = [];
      const complaints: string[] = [];
      page.on('request', (sent) => requests.push(sent.url()));
      page.on('console', (line) => complaints.push(line.text()));
      page.on('pageerror', (error) => complaints.push(error.message));
      await page.goto(gateway.url + at);
      const text = await page.innerText('body');
      for (const shown of ['Worker pool', 'GPU configuration', 'Queues', 'Task names', pipeline]) {
        assert.ok(text.includes(shown), shown);
      }
      assert.ok(text.includes('/api/v1/tasks/{task_id}'));
      assert.deepEqual(requests, [gateway.url + at]);
      assert.deepEqual(complaints, []);
      const docs = new URL((await page.getAttribute('a', 'href')) ?? '', gateway.url + at);
      assert.equal((await request(docs, { method: 'HEAD' })).statusCode, 200);
      // To its end: a page that is closed while it loads may never let go of the browser.
      await page.waitForEvent('load', { timeout: patienceMs });
      assert.deepEqual([...new Set(requests)], [gateway.url + at]);
    }
  });
});
