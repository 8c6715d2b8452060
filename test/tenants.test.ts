import assert from 'node:assert/strict';
import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import { mkdir, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pino } from 'pino';
import { request } from 'undici';
import type { Database } from '../src/db/connect.ts';
import { sql } from '../src/db/drizzle.ts';
import { rowsOf } from '../src/db/rows.ts';
import { Emulator } from '../src/emulator/emulator.ts';
import { dialects } from '../src/http/dialects/index.ts';
import { documentedIn } from './support/dialect-parts.ts';
import { eventually } from './support/eventually.ts';
import { multipartForm } from './support/form.ts';
import { samplePng } from './support/media-samples.ts';
import { patienceMs } from './support/patience.ts';
import { SourceServer } from './support/source-server.ts';
import { connectTestDatabase, createTestDatabase } from './support/test-database.ts';
import { TestGateway } from './support/test-gateway.ts';
import { createTestWorkflows } from './support/test-workflows.ts';

const keys = {
  alice: 'alice-secret-0123456789',
  bob: 'bob-secret-0123456789',
  ops: 'ops-secret-0123456789',
};
type Name = keyof typeof keys;

interface Ask {
  readonly method: string;
  readonly path: string;
  readonly type?: string;
  readonly body?: unknown;
}

interface Answer {
  readonly status: number;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: read by tests as JSON is.
  readonly json: any;
}

/** All by which something of a tenant's may be named. */
interface Named {
  /** A UUID. */
  readonly task: string;
  /** As the upscale service writes ids. */
  readonly job: string;
  readonly upload: string;
  /** Of the Uformer hub, encoded, without the query. */
  readonly resultPath: string;
  /** Of an object whose name follows from the task's id. */
  readonly oldKey: string;
}

const hex = (id: string) => id.replaceAll('-', '');

/** Where a request can name something, by what it is called in the routes' paths. */
function placesOf({ task, job, upload, resultPath }: Named, dialect: string) {
  const [, , kind = '', task_type = '', , file = ''] = resultPath.split('/');
  return {
    task_id: dialect === 'tmlsr' ? hex(task) : task,
    ...{ job_id: job, upload_id: upload, kind, task_type, file },
    // Of backends and workflows, which are nobody's.
    ...{ id: '3f2a9c01b7de', name: 'sleep' },
  } as Record<string, string>;
}

/** Bodies that name something of a tenant's, by the route that takes them. */
const bodies: Readonly<Record<string, (named: Named, base: string) => readonly unknown[]>> = {
  'tmlsr POST /tasks': ({ upload, oldKey, task }, base) =>
    [
      `upload:${upload}`,
      `${base}/objects/${oldKey}`,
      `${base}/objects/${hex(task)}/${'0'.repeat(32)}/a.png`,
      `${base}/objects/uploads/${upload}`,
      `oss://bucket/outputs/${oldKey}`,
    ].map((url, index) => ({
      ...(index % 2 === 0 ? { url } : { inputs: { image: url } }),
      workflow: 'esrgan_image_4x',
    })),
  'tmlsr POST /uploads': () => [{ name: 'a.png' }],
  'tmlsr PUT /uploads/{upload_id}': () => ['no picture'],
  'tmlsr POST /keys': () => [{ name: 'mine', scopes: ['admin'] }],
  'tmlsr POST /keys/{id}/rotate': () => [{}],
  'tmlsr PUT /pauses/pool': () => [{}],
  'tmlsr PUT /pauses/workflows/{name}': () => [{}],
  'tmlsr PUT /pauses/tenants/{name}': () => [{}],
  'tmlsr POST /backends': () => [{ url: 'http://127.0.0.1:1' }],
  'tmlsr PATCH /backends/{id}': () => [{ wanted: 'draining' }],
  'tmlsr POST /workflows/validate': () => [{}],
  'tmlsr PUT /workflows/{name}': () => [{}],
  'upscale POST /api/v1/upscale': () => [{}],
  'task-manager POST /api/v1/tasks': ({ upload, oldKey }, base) =>
    [`upload:${upload}`, `${base}/objects/${oldKey}`].flatMap((url) => [
      { task_name: 'upscale', args: [url] },
      { task_name: 'upscale', kwargs: { image_url: url } },
    ]),
  'uformer POST /api/process_image': () => [{}],
  'uformer POST /api/process_video': () => [{}],
  'uformer POST /api/generate_preview': () => [{}],
  'uformer POST /api/confirm_download': ({ resultPath, task }) => [
    { result_path: resultPath },
    { result_path: `${resultPath}?id=${task}` },
  ],
  'uformer POST /api/task_heartbeat': ({ task }) => [{ task_id: task }],
  'uformer POST /api/unload_models': () => [{ model_names: ['denoise_16'] }],
};

/** Queries that name something of a tenant's. */
const queries: Readonly<Record<string, (named: Named) => readonly string[]>> = {
  'tmlsr PUT /uploads/{upload_id}': () => ['', '?token=0'],
  'uformer GET /static_results/{kind}/{task_type}/processed/{file}': ({ task, upload }) => [
    '',
    `?id=${task}`,
    `?id=${hex(task)}`,
    `?id=${upload}`,
  ],
};

/** Every documented request, with these names wherever one may stand. */
function asksWith(named: Named, base: string): (Ask & { readonly where: string })[] {
  return dialects.flatMap((dialect) =>
    documentedIn(dialect).flatMap(({ method, path, route }) => {
      const where = `${dialect.name} ${method} ${path}`;
      const places = placesOf(named, dialect.name);
      const filled = path.replaceAll(/\{(\w+)\}/g, (_, name) => {
        assert.ok(places[name], `${where}: what is a ${name}?`);
        return places[name];
      });
      assert.ok(!route.request?.body || bodies[where], `${where}: what may its body name?`);
      return (queries[where]?.(named) ?? ['']).flatMap((query) =>
        (bodies[where]?.(named, base) ?? [undefined]).map((body) => ({
          ...{ where, method, body },
          path: `${dialect.prefix}${filled}${query}`,
          ...(method === 'PUT' && path.startsWith('/uploads') ? { type: 'image/png' } : {}),
        })),
      );
    }),
  );
}

/** The addresses that no reference tells. */
function objectsOf({ oldKey, upload, task }: Named): string[] {
  return [oldKey, `${oldKey}.thumb.webp`, hex(task), `${hex(task)}/`, `uploads/${upload}`].flatMap(
    (key) => [`/objects/${key}`, `/tmlsr/objects/${key}`],
  );
}

describe("a tenant's key", () => {
  const cleanup = new AsyncDisposableStack();
  const log: string[] = [];
  let gateway: TestGateway;
  let database: Database;
  let emulators: readonly Emulator[];
  let url: string;
  let gone: string;
  /** Alice's: by what they are for, in the ids of their dialects. */
  const ids: Record<string, string> = {};
  let resultPath: string;
  let upload: { upload_id: string; url: string };
  let oldKey: string;

  async function ask(who: Name | null, { method, path, type, body }: Ask): Promise<Answer> {
    const isRaw = typeof body === 'string' || Buffer.isBuffer(body);
    const answer = await request(path.startsWith('http') ? path : `${gateway.url}${path}`, {
      method: method as 'GET',
      signal: AbortSignal.timeout(patienceMs),
      headers: {
        ...(who ? { authorization: `Bearer ${keys[who]}` } : {}),
        ...(body === undefined ? {} : { 'content-type': type ?? 'application/json' }),
      },
      ...(body === undefined ? {} : { body: isRaw ? body : JSON.stringify(body) }),
    });
    const text = await answer.body.text();
    const isJson = String(answer.headers['content-type']).includes('json');
    return { status: answer.statusCode, text, json: isJson ? JSON.parse(text) : null };
  }

  const get = (who: Name | null, path: string) => ask(who, { method: 'GET', path });
  const post = (who: Name, path: string, body: unknown, type?: string) =>
    ask(who, { method: 'POST', path, body, ...(type ? { type } : {}) });
  const submit = async (who: Name, task: object): Promise<string> => {
    const { status, json } = await post(who, '/tasks', task);
    assert.equal(status, 200, JSON.stringify(json));
    return json.task_id;
  };
  const isNow = async (who: Name, path: string, state: string) =>
    await eventually(async () => {
      const { json } = await get(who, path);
      assert.equal(json.status ?? json.state, state, JSON.stringify(json));
      return json;
    });

  before(async () => {
    emulators = [cleanup.use(await Emulator.start()), cleanup.use(await Emulator.start())];
    const sources = cleanup.use(await SourceServer.start());
    const workflows = cleanup.use(await createTestWorkflows(60));
    await workflows.write('nowhere', {
      '1': { class_type: 'LoadImage', inputs: { image: 'input.png' } },
      '2': { class_type: 'NowhereToBeFound', inputs: { image: ['1', 0] } },
      '3': { class_type: 'SaveImage', inputs: { images: ['2', 0], filename_prefix: 'out' } },
    });
    const png = await samplePng({ width: 16, height: 16, seed: 1 });
    url = sources.file('holiday.png', png);
    gone = `http://${sources.host}/private-address.png`;
    const scratch = cleanup.use(await createTestDatabase('postgres'));
    gateway = cleanup.use(
      await TestGateway.start({
        engine: 'postgres',
        database: scratch,
        backends: emulators.map((each) => each.url),
        logger: pino({ level: 'trace' }, { write: (line: string) => void log.push(line) }),
        env: {
          SOURCE_ALLOW: `${sources.host},127.0.0.1`,
          WORKFLOWS_DIR: workflows.folder,
          TASK_NAMES: 'upscale=esrgan_image_4x',
          API_KEYS: `alice:${keys.alice},bob:${keys.bob}`,
          OPERATOR_KEYS: `ops:${keys.ops}`,
        },
      }),
    );
    database = cleanup.use(await connectTestDatabase(scratch.options));

    const form = (fields: Record<string, string>, name: string) =>
      multipartForm([...Object.entries(fields), [name, { bytes: png, fileName: 'holiday.png' }]]);
    const upscaling = form({}, 'image');
    const denoising = form({ task_type: 'denoise', model_name: 'denoise_16' }, 'image_file');
    const [job, hub, managed, finished, old, failed] = await Promise.all([
      post('alice', '/api/v1/upscale', upscaling.body, upscaling.contentType),
      post('alice', '/api/process_image', denoising.body, denoising.contentType),
      post('alice', '/api/v1/tasks', { task_name: 'upscale', args: [url] }),
      submit('alice', { url, workflow: 'esrgan_image_4x' }),
      submit('alice', { url, workflow: 'esrgan_image_4x' }),
      submit('alice', { url: gone, workflow: 'esrgan_image_4x' }),
    ]);
    Object.assign(ids, { job: job.json.job_id, hub: hub.json.task_id, finished, old, failed });
    ids.managed = managed.json.task_id;
    await isNow('alice', `/api/v1/status/${ids.job}`, 'completed');
    await isNow('alice', `/api/v1/tasks/${ids.managed}`, 'SUCCESS');
    await isNow('alice', `/tasks/${finished}`, 'completed');
    await isNow('alice', `/tasks/${old}`, 'completed');
    await isNow('alice', `/tasks/${failed}`, 'failed');
    const shown = await isNow('alice', `/api/image_status/${ids.hub}`, 'completed');
    resultPath = shown.result_path;
    oldKey = await asOfBefore(old);
    ids.running = await submit('alice', { url, workflow: 'sleep' });
    const waits = { workflow: 'nowhere', queue_when_unavailable: true };
    ids.waiting = await submit('alice', { url, ...waits });
    await eventually(() =>
      assert.ok(emulators.some(({ runs }) => runs.at(-1)?.status === 'running')),
    );
    upload = (await post('alice', '/uploads', { name: 'secret-plans.png' })).json;
  });
  after(() => cleanup.disposeAsync());

  /** Gives the result the address that it would have had before there were random bits. */
  async function asOfBefore(id: string): Promise<string> {
    const { json } = await get('alice', `/tasks/${id}`);
    const [, key = ''] = json.output.url.split('/objects/');
    const oldKey = `${id}/${key.split('/').at(-1)}`;
    const folder = join(gateway.dataDir, 'objects');
    await mkdir(dirname(join(folder, oldKey)), { recursive: true });
    await rename(join(folder, key), join(folder, oldKey));
    await database.orm.execute(sql`
      update tasks set outputs = jsonb_set(outputs, '{0,key}', to_jsonb(${oldKey}::text))
       where replace(id::text, '-', '') = ${id}`);
    return oldKey;
  }

  /** Alice's, once for each of her tasks. */
  function alices(): Named[] {
    const [path = ''] = resultPath.split('?');
    const shared = { upload: upload.upload_id, resultPath: path, job: ids.job ?? '', oldKey };
    return [ids.running, ids.waiting, ids.finished, ids.old, ids.failed, ids.hub, ids.managed].map(
      (id = '') => ({ ...shared, task: dashed(id) }),
    );
  }

  /** Of the same shape, and nobody's. */
  function nobodys(like: Named): Named {
    const task = randomUUID();
    const stem = like.oldKey.split('/').at(-1);
    return {
      task,
      job: `1${randomInt(2 ** 47)}`.padEnd(19, '7'),
      upload: randomUUID(),
      resultPath: like.resultPath.replace(/_[0-9a-f]{8}_/, `_${task.slice(0, 8)}_`),
      oldKey: `${randomBytes(16).toString('hex')}/${stem}`,
    };
  }

  /** Without what differs between two that are asked the same. */
  function told({ status, text }: Answer, { task, job, upload, resultPath, oldKey }: Named) {
    const named = [task, hex(task), job, upload, resultPath, oldKey, task.slice(0, 8)];
    let left = text;
    for (const each of named) left = left.replaceAll(each, 'NAMED');
    left = left
      .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}/g, 'ID')
      .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z|\d{4}-\d\d-\d\d [\d:]+ UTC/g, 'INSTANT')
      .replaceAll(
        /("(?:time|last_active|learned_duration|busy_share|expected_wait)":)[\d.]+/g,
        '$1N',
      );
    return { status, text: left };
  }

  /** What only Alice is to know, and operators. */
  async function secrets(): Promise<string[]> {
    const rows = rowsOf<{ secret: string }>(
      await database.orm.execute(sql`
        select secret from runs where tenant = 'alice'
        union all select secret from uploads where tenant = 'alice'`),
    );
    const named = alices().flatMap(({ task, job, upload }) => [task, hex(task), job, upload]);
    return [
      ...new Set([...named, ...rows.map(({ secret }) => secret)]),
      ...['holiday', 'private-address', 'secret-plans'],
      ...emulators.map((each) => new URL(each.url).host),
    ].filter(Boolean);
  }

  it('tells nothing of another tenant’s to one who names nothing', async () => {
    const isPrivate = await secrets();
    const named = nobodys(alices()[0] as Named);
    for (const each of asksWith(named, gateway.url)) {
      if (each.method !== 'GET') continue;
      const { text } = await ask('bob', each);
      for (const secret of isPrivate) assert.ok(!text.includes(secret), `${each.where}: ${secret}`);
    }
  });

  it('tells nothing of what is another tenant’s, wherever that is named', async () => {
    const isPrivate = await secrets();
    const created: { mine: Answer; other: Answer; named: Named; nobody: Named }[] = [];
    const sent = new Set<string>();
    const isNamed = (secret: string) => [...sent].some((each) => each.includes(secret));
    for (const named of alices()) {
      const nobody = nobodys(named);
      const others = asksWith(nobody, gateway.url);
      for (const [index, mine] of asksWith(named, gateway.url).entries()) {
        const { where } = mine;
        const [asked = '', askedOther] = [mine, others[index]].map((each) => JSON.stringify(each));
        if (sent.has(asked)) continue;
        sent.add(asked);
        const answer = await ask('bob', mine);
        const other = await ask('bob', others[index] as Ask);
        if (asked !== askedOther) assert.deepEqual(told(answer, named), told(other, nobody), where);
        // What Bob has named himself he may hear again.
        for (const secret of isPrivate.filter((each) => !isNamed(each))) {
          assert.ok(!answer.text.includes(secret), `${where}: ${secret}`);
        }
        assert.ok(answer.status < 500, `${where}: ${answer.text}`);
        if (answer.status === 200 && where === 'tmlsr POST /tasks') {
          created.push({ mine: answer, other, named, nobody });
        }
      }
      for (const who of ['bob', null] as const) {
        const paths = objectsOf({ ...named, oldKey: `${hex(named.task)}/holiday.png` });
        const same = objectsOf({ ...nobody, oldKey: `${hex(nobody.task)}/holiday.png` });
        for (const [index, path] of paths.entries()) {
          // Its link was given out before; whoever has it goes on.
          if (path.endsWith(oldKey)) continue;
          const answer = await get(who, path);
          // Any address with a slash at its end leads to the one without.
          assert.equal(answer.status, path.endsWith('/') ? 307 : 404, path);
          assert.deepEqual(told(answer, named), told(await get(who, same[index] ?? ''), nobody));
        }
      }
    }
    assert.ok(sent.size > 80, `${sent.size} requests`);
    assert.ok(created.length > 5, `${created.length} tasks`);
    for (const { mine, other, named, nobody } of created) {
      const [one, two] = await Promise.all(
        [mine, other].map(async ({ json }) => {
          await isNow('bob', `/tasks/${json.task_id}`, 'failed');
          return await get('bob', `/tasks/${json.task_id}`);
        }),
      );
      assert.ok(one && two);
      assert.equal(one.json.error_code, 'source_not_found', one.text);
      const { error, error_code, stages, outputs } = JSON.parse(told(two, nobody).text);
      const mineTold = JSON.parse(told(one, named).text);
      const withoutDuration = (each: object) => ({ ...each, duration: null });
      assert.deepEqual(
        { ...mineTold, stages: mineTold.stages.map(withoutDuration) },
        { ...mineTold, error, error_code, outputs, stages: stages.map(withoutDuration) },
      );
    }
  });

  it('has changed nothing of it', async () => {
    const states = await Promise.all(
      [ids.running, ids.waiting, ids.finished, ids.old, ids.failed].map(
        async (id) => (await get('alice', `/tasks/${id}`)).json.status,
      ),
    );
    assert.deepEqual(states, ['processing', 'pending', 'completed', 'completed', 'failed']);
    assert.equal((await get('alice', `/api/v1/tasks/${ids.managed}`)).json.state, 'SUCCESS');
    assert.equal((await get('alice', resultPath)).status, 200);
    assert.equal((await get('alice', `/api/v1/download/${ids.job}`)).status, 200);
  });

  it('opens its own: by id with the key, by the address without', async () => {
    const [path = '', query = ''] = resultPath.split('?id=');
    assert.match(query, /^[0-9a-f]{32}$/);
    assert.notEqual(query, hex(ids.hub ?? ''));
    assert.equal((await get(null, resultPath)).status, 200);
    assert.equal((await get('bob', resultPath)).status, 200);
    assert.equal((await get(null, `${path}?id=${ids.hub}`)).status, 404);
    for (const who of ['alice', 'ops'] as const) {
      assert.equal((await get(who, `${path}?id=${ids.hub}`)).status, 200, who);
    }
    const { json } = await get('alice', `/tasks/${ids.finished}`);
    assert.match(
      json.output.url,
      new RegExp(`/objects/${ids.finished}/[0-9a-f]{32}/holiday\\.png$`),
    );
    assert.match(json.output.thumbnail_url, /\/[0-9a-f]{32}\/holiday\.png\.thumb\.webp$/);
    for (const address of [json.output.url, json.output.thumbnail_url]) {
      const object = await request(address);
      await object.body.dump();
      assert.equal(object.statusCode, 200);
      assert.equal(object.headers['referrer-policy'], 'no-referrer');
      assert.match(String(object.headers['cache-control']), /^private/);
    }
    // Whoever was given an address may also have it worked on.
    const id = await submit('bob', { url: json.output.url, workflow: 'esrgan_image_2x' });
    await isNow('bob', `/tasks/${id}`, 'completed');
    assert.equal((await get(null, `/objects/${oldKey}`)).status, 200);
    const own = { url: `${gateway.url}/objects/${oldKey}`, workflow: 'esrgan_image_2x' };
    await isNow('alice', `/tasks/${await submit('alice', own)}`, 'completed');
  });

  it('fills an upload by its address, or with the key by its id', async () => {
    const { upload_id } = upload;
    assert.match(upload.url, new RegExp(`/uploads/${upload_id}\\?token=[0-9a-f]{32}$`));
    const put = (who: Name | null, path: string) =>
      ask(who, { method: 'PUT', path, type: 'image/png', body: png });
    const png = await samplePng({ width: 16, height: 16, seed: 2 });
    assert.equal((await put(null, `/uploads/${upload_id}`)).status, 404);
    assert.equal((await put('bob', `/uploads/${upload_id}`)).status, 404);
    assert.equal((await put(null, upload.url)).status, 200);
    assert.equal((await put('alice', `/uploads/${upload_id}`)).status, 200);
    assert.equal((await get('alice', `/objects/uploads/${upload_id}`)).status, 404);
  });

  it('counts its own tasks', async () => {
    const statsOf = async (who: Name) => (await get(who, '/monitor/stats')).json;
    await eventually(async () => {
      const [mine, bobs, all] = await Promise.all((['alice', 'bob', 'ops'] as const).map(statsOf));
      const { pending, processing, completed, failed, canceled } = mine.stats;
      assert.deepEqual([pending, processing, completed, failed, canceled], [1, 1, 6, 1, 0]);
      assert.equal(mine.system.queue_size, 1);
      assert.deepEqual(
        [bobs.stats.pending, bobs.stats.processing, bobs.stats.completed],
        [0, 0, 1],
      );
      for (const state of Object.keys(mine.stats)) {
        assert.equal(all.stats[state], mine.stats[state] + bobs.stats[state], state);
      }
    });
  });

  it('sees the pool without its addresses', async () => {
    const { json: seen } = await get('alice', '/monitor/stats');
    const { json: all } = await get('ops', '/monitor/stats');
    const running = (stats: typeof seen) =>
      stats.pool_status.flatMap((each: { task_id: string | null }) => each.task_id || []);
    assert.deepEqual(
      seen.pool_status.map((each: { address: string }) => each.address),
      ['backend-1', 'backend-2'],
    );
    assert.deepEqual(
      all.pool_status.map((each: { address: string }) => each.address),
      emulators.map((each) => each.url).sort(),
    );
    assert.ok(running(all).includes(ids.running));
    assert.deepEqual(running(seen), [ids.running]);
    const { json: bobs } = await get('bob', '/monitor/stats');
    assert.deepEqual(running(bobs), []);
    const untold = { reason: '', gateway: null, version: null, devices: [] };
    for (const each of [...seen.pool_status, ...bobs.pool_status]) {
      const { reason, gateway, version, devices } = each;
      assert.deepEqual({ reason, gateway, version, devices }, untold);
      assert.equal(typeof each.last_active, 'number');
    }
    for (const { version, devices } of all.pool_status) {
      assert.deepEqual([typeof version, devices.length > 0], ['string', true]);
    }
    const nowhere = (stats: typeof seen) =>
      stats.workflows.find((each: { name: string }) => each.name === 'nowhere');
    assert.deepEqual([nowhere(seen).pending, nowhere(bobs).pending], [1, 0]);
    assert.deepEqual([nowhere(seen).why_not, nowhere(bobs).why_not], [{}, {}]);
    assert.equal(Object.keys(nowhere(all).why_not).length, 2);
  });

  it('sees no reason that names a server, no graph and no metrics', async () => {
    const whyNot = async (who: Name) =>
      Object.keys((await get(who, '/workflows/nowhere')).json.why_not).sort();
    assert.deepEqual(await whyNot('alice'), []);
    assert.deepEqual(await whyNot('ops'), emulators.map((each) => each.url).sort());
    for (const path of ['/workflows/sleep/graph', '/dashboard/metrics']) {
      assert.equal((await get('alice', path)).status, 403, path);
      assert.equal((await get('ops', path)).status, 200, path);
    }
    const [seen, all] = await Promise.all([get('alice', '/dashboard'), get('ops', '/dashboard')]);
    const host = new URL(emulators[0]?.url ?? '').host;
    assert.ok(seen.text.includes('backend-1') && !seen.text.includes(host));
    assert.ok(all.text.includes(host));
    const gpu = / GB of /;
    assert.deepEqual([gpu.test(seen.text), gpu.test(all.text)], [false, true]);
  });

  it('is the way to what no log tells', async () => {
    const text = log.join('');
    assert.ok(text.includes('task.completed'));
    const bits = rowsOf<{ secret: string }>(
      await database.orm.execute(sql`
        select secret from runs union all select secret from uploads where secret is not null`),
    );
    assert.ok(bits.length > 10);
    const telling = log.filter((line) => bits.some(({ secret }) => line.includes(secret)));
    assert.deepEqual(telling, []);
  });
});

function dashed(id: string): string {
  return hex(id).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
