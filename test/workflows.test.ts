import assert from 'node:assert/strict';
import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { request } from 'undici';
import { Emulator } from '../src/emulator/emulator.ts';
import { eventually } from './support/eventually.ts';
import { GatewayClient } from './support/gateway-client.ts';
import { samplePng } from './support/media-samples.ts';
import { SourceServer } from './support/source-server.ts';
import { createTestDatabase, enginesAboveStores } from './support/test-database.ts';
import { TestGateway } from './support/test-gateway.ts';
import { createTestWorkflows, sleepGraph, type TestWorkflows } from './support/test-workflows.ts';

/** Scales one picture, saves it, and saves another as it is. */
const twoFold = {
  '1': { class_type: 'LoadImage', inputs: { image: 'a.png' }, _meta: { title: '@input' } },
  '2': { class_type: 'LoadImage', inputs: { image: 'b.png' }, _meta: { title: '@input:mask' } },
  '3': {
    class_type: 'ImageScale',
    inputs: {
      image: ['1', 0],
      upscale_method: 'bilinear',
      width: 40,
      height: 30,
      crop: 'disabled',
    },
    _meta: { title: '@param:width @param:high=height' },
  },
  '4': {
    class_type: 'SaveImage',
    inputs: { images: ['3', 0], filename_prefix: 'x' },
    _meta: { title: '@output' },
  },
  '5': {
    class_type: 'SaveImage',
    inputs: { images: ['2', 0], filename_prefix: 'y' },
    _meta: { title: '@output:copy' },
  },
};

/** As the editor saves it: `sleep` with a reroute, a note, a muted preview and a Chinese title. */
const editorSleep = {
  last_node_id: 7,
  last_link_id: 5,
  nodes: [
    {
      id: 1,
      type: 'LoadImage',
      pos: [0, 0],
      size: [300, 300],
      mode: 0,
      outputs: [
        { name: 'IMAGE', localized_name: '图像', type: 'IMAGE', links: [1] },
        { name: 'MASK', localized_name: '遮罩', type: 'MASK', links: null },
      ],
      title: '加载图像',
      widgets_values: ['input.png', 'image'],
    },
    {
      id: 2,
      type: 'Reroute',
      pos: [320, 0],
      mode: 0,
      inputs: [{ name: '', type: '*', link: 1 }],
      outputs: [{ name: '', type: 'IMAGE', links: [2, 4] }],
    },
    {
      id: 3,
      type: 'EmulatorSleep',
      pos: [400, 0],
      mode: 0,
      inputs: [
        { name: 'image', type: 'IMAGE', link: 2 },
        {
          name: 'seconds',
          label: '@param:pause',
          type: 'FLOAT',
          widget: { name: 'seconds' },
          link: null,
        },
      ],
      outputs: [{ name: 'IMAGE', type: 'IMAGE', links: [3] }],
      widgets_values: [0.05, 10, 0, '', 0],
    },
    {
      id: 4,
      type: 'SaveImage',
      pos: [700, 0],
      mode: 0,
      inputs: [{ name: 'images', localized_name: '图片', type: 'IMAGE', link: 3 }],
      outputs: [],
      widgets_values: ['ComfyUI'],
    },
    { id: 5, type: 'Note', pos: [0, 400], mode: 0, widgets_values: ['做梦'] },
    {
      id: 6,
      type: 'PreviewImage',
      pos: [700, 300],
      mode: 2,
      inputs: [{ name: 'images', type: 'IMAGE', link: 4 }],
      outputs: [],
      widgets_values: [],
    },
    {
      id: 7,
      type: 'Image Comparer (rgthree)',
      pos: [700, 600],
      mode: 0,
      inputs: [],
      outputs: [],
      widgets_values: [],
    },
  ],
  links: [
    [1, 1, 0, 2, 0, '*'],
    [2, 2, 0, 3, 0, 'IMAGE'],
    [3, 3, 0, 4, 0, 'IMAGE'],
    [4, 2, 0, 6, 0, 'IMAGE'],
  ],
  groups: [{ title: '组', bounding: [0, 0, 10, 10], color: '#3f789e' }],
  config: {},
  extra: {},
  version: 0.4,
};

for (const engine of enginesAboveStores) {
  describe(`workflows on ${engine}`, () => {
    const cleanup = new AsyncDisposableStack();
    let emulator: Emulator;
    let sources: SourceServer;
    let workflows: TestWorkflows;
    let gateway: TestGateway;
    let url: string;

    before(async () => {
      emulator = cleanup.use(await Emulator.start({ withoutModels: ['RealESRGAN_x4plus.pth'] }));
      sources = cleanup.use(await SourceServer.start());
      workflows = cleanup.use(await createTestWorkflows(0.02));
      url = sources.file('a.png', await samplePng({ width: 20, height: 16, seed: 1 }));
      gateway = cleanup.use(
        await TestGateway.start({
          engine,
          backends: [emulator.url],
          env: { SOURCE_ALLOW: sources.host, WORKFLOWS_DIR: workflows.folder },
        }),
      );
      // What a server can run is known when it was reached.
      await eventually(async () => {
        const { body } = await gateway.call('GET', '/workflows/sleep');
        assert.equal(body.runs_on, 1);
      });
    });
    after(() => cleanup.disposeAsync());

    async function put(name: string, body: unknown) {
      const answer = await gateway.call('PUT', `/workflows/${encodeURIComponent(name)}`, body);
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
      return answer.body;
    }

    async function completed(task: object) {
      const ended = await gateway.until(await gateway.submit(task));
      assert.equal(ended.status, 'completed', ended.error ?? '');
      return ended;
    }

    async function described(name: string) {
      return (await gateway.call('GET', `/workflows/${encodeURIComponent(name)}`)).body;
    }

    it('lists what can be called, and where it runs', async () => {
      const { body } = await gateway.call('GET', '/workflows');
      const named = (name: string) =>
        body.workflows.find((each: { name: string }) => each.name === name);
      const [large, small] = [named('esrgan_image_4x'), named('esrgan_image_2x')];
      assert.equal(small.runs_on, 1);
      assert.equal(small.of, 1);
      assert.equal(small.problem, null);
      assert.match(small.hash, /^[0-9a-f]{64}$/);
      assert.deepEqual(
        small.inputs.map(({ name, type }: { name: string; type: string }) => [name, type]),
        [['image', 'image']],
      );
      assert.equal(large.runs_on, 0);
      assert.match(JSON.stringify(large.why_not), /RealESRGAN_x4plus\.pth/);
      const graph = await gateway.call('GET', '/workflows/esrgan_image_2x/graph');
      assert.equal(graph.body['4'].class_type, 'SaveImage');
      assert.equal((await gateway.call('GET', '/workflows/nope')).status, 404);
      assert.equal((await gateway.call('GET', '/workflows/nope/graph')).status, 404);
    });

    it('refuses a task at once where no server can run it, unless it may wait', async () => {
      const task = { url, workflow: 'esrgan_image_4x' };
      const refused = await gateway.call('POST', '/tasks', task);
      assert.equal(refused.status, 503);
      assert.equal(refused.body.code, 'workflow_unavailable');
      assert.match(refused.body.message, /RealESRGAN_x4plus\.pth/);
      const id = await gateway.submit({ ...task, queue_when_unavailable: true });
      assert.equal((await gateway.task(id)).status, 'pending');
      assert.equal((await gateway.call('DELETE', `/tasks/${id}`)).status, 200);
    });

    it('lets a task wait where its workflow says so, unless the task says otherwise', async () => {
      const graph = { ...sleepGraph(0.01), '9': { class_type: 'NodeOfTomorrow', inputs: {} } };
      await put('of tomorrow', { graph, meta: { queue_when_unavailable: true } });
      const task = { url, workflow: 'of tomorrow' };
      const refused = await gateway.call('POST', '/tasks', {
        ...task,
        queue_when_unavailable: false,
      });
      assert.equal(refused.body.code, 'workflow_unavailable');
      const id = await gateway.submit(task);
      assert.equal((await gateway.call('DELETE', `/tasks/${id}`)).status, 200);
    });

    it('runs a file as the editor saved it, with the value that was exposed there', async () => {
      await workflows.write('睡觉 (慢)', editorSleep);
      const { bindings, parameters, inputs, problem } = await eventually(async () => {
        const found = await described('睡觉 (慢)');
        assert.equal(found.runs_on, 1, JSON.stringify(found));
        return found;
      });
      assert.equal(problem, null);
      assert.deepEqual(
        inputs.map(({ node }: { node: string }) => node),
        ['1'],
      );
      assert.deepEqual(bindings.pause, [{ node: '3', field: 'seconds' }]);
      assert.equal(parameters.properties.pause.maximum, 86_400);
      const task = await completed({ url, workflow: '睡觉 (慢).json', inputs: { pause: 0.01 } });
      assert.equal(task.inputs.pause, 0.01);
      assert.equal(task.output?.metadata.width, 20);
      const wrong = { url, workflow: '睡觉 (慢)', inputs: { pause: 'long' } };
      const refused = await gateway.call('POST', '/tasks', wrong);
      assert.deepEqual([refused.status, refused.body.field], [400, 'inputs.pause']);
    });

    it('takes several files and values by name, and gives several results', async () => {
      const mask = sources.file('m.png', await samplePng({ width: 9, height: 7, seed: 2 }));
      await put('two fold', {
        graph: twoFold,
        meta: { title: 'Two', type: 'image', aliases: ['Fold'] },
      });
      const task = await completed({
        type: 'image',
        model: 'fold',
        inputs: { image: url, mask, width: 50, high: 25 },
      });
      assert.deepEqual(task.inputs, { image: url, mask, width: 50, high: 25 });
      const sizes = await Promise.all(
        task.outputs.map(async (output) => {
          const { body } = await request(output.url);
          const { width, height } = await sharp(Buffer.from(await body.arrayBuffer())).metadata();
          return [output.name, width, height, output.metadata.width];
        }),
      );
      assert.deepEqual(sizes, [
        ['result', 50, 25, 50],
        ['copy', 9, 7, 9],
      ]);
      assert.equal(task.output?.url, task.outputs[0]?.url);
      const scaled = await completed({
        url,
        workflow: 'two fold',
        inputs: { mask },
        output_dims: [33, 44],
      });
      const { width, height, input, scale } = scaled.output?.metadata ?? {};
      assert.deepEqual([width, height, input.width, scale], [33, 44, 20, 1.65]);
      await eventually(async () => assert.deepEqual(await gateway.spooled(), []));

      const wrongs: [inputs: object, field: string][] = [
        [{}, 'inputs.mask'],
        [{ mask: 3 }, 'inputs.mask'],
        [{ mask: 'http://127.0.0.1:1/m.png' }, 'inputs.mask'],
        [{ mask, image: url }, 'inputs.image'],
        [{ mask, width: -1 }, 'inputs.width'],
        [{ mask, width: 9.5 }, 'inputs.width'],
        [{ mask, depth: 3 }, 'inputs.depth'],
        [{ mask, __proto__: null, constructor: 1 }, 'inputs.constructor'],
      ];
      for (const [inputs, field] of wrongs) {
        const { status, body } = await gateway.call('POST', '/tasks', {
          url,
          workflow: 'two fold',
          inputs,
        });
        assert.deepEqual([status, body.field], [400, field], JSON.stringify(body));
      }
    });

    it('draws a seed where one is asked for, and tells which', async () => {
      const upscaled = { url, workflow: 'seedvr2_image_2048', output_dims: [64, 48] };
      const { properties } = (await described('seedvr2_image_2048')).parameters;
      assert.equal(properties.seed.default, 42);
      const [one, two] = await Promise.all(
        [1, 2].map(() => completed({ ...upscaled, inputs: { seed: 'random' } })),
      );
      assert.ok(Number.isSafeInteger(one?.inputs.seed) && Number.isSafeInteger(two?.inputs.seed));
      assert.notEqual(one?.inputs.seed, two?.inputs.seed);
      assert.equal((await completed({ ...upscaled, inputs: { seed: 7 } })).inputs.seed, 7);
      assert.deepEqual(Object.keys((await completed(upscaled)).inputs), ['image']);
    });

    it('tries a workflow out without putting it in place', async () => {
      const validate = (body: unknown) => gateway.call('POST', '/workflows/validate', body);
      const good = await validate(editorSleep);
      assert.equal(good.status, 200);
      assert.deepEqual([good.body.problem, good.body.runs_on], [null, 1]);
      const { '3': resize, ...incomplete } = twoFold;
      const bad = await validate({ graph: incomplete });
      assert.equal(bad.status, 200);
      assert.match(bad.body.problem, /4.*3|3/);
      const odd = { ...twoFold, '3': { ...resize, inputs: { ...resize.inputs, width: -5 } } };
      const unable = await validate({ graph: odd, meta: null });
      assert.equal(unable.body.runs_on, 0);
      assert.match(JSON.stringify(unable.body.why_not), /width/);
      const unknown = await validate({ graph: twoFold, meta: { tittle: 'x' } });
      assert.match(unknown.body.problem, /tittle.*title/s);
      assert.ok(!(await readdir(workflows.folder)).includes('draft.json'));
    });

    it('puts a workflow in place and takes it away, and keeps nothing of a bad one', async () => {
      const before = await put('mine', sleepGraph(0.01));
      const again = await put('mine', { graph: sleepGraph(0.02), meta: { title: 'Mine' } });
      assert.notEqual(again.hash, before.hash);
      assert.equal(again.title, 'Mine');
      const refused = await gateway.call('PUT', '/workflows/mine', {
        '1': { class_type: 'SaveImage' },
      });
      assert.equal(refused.status, 400);
      assert.equal(refused.body.code, 'workflow_invalid');
      assert.equal((await described('mine')).hash, again.hash);
      for (const name of [
        '..%2Fmine',
        '%2E%2E%2Fmine',
        '.mine',
        'a%2Fb',
        'a%00b',
        'x'.repeat(300),
      ]) {
        const { status } = await gateway.call('PUT', `/workflows/${name}`, sleepGraph(1));
        assert.ok(status === 400 || status === 404, `${name}: ${status}`);
      }
      const files = await readdir(workflows.folder);
      assert.ok(files.includes('mine.json') && files.includes('mine.meta.json'));
      assert.deepEqual(
        files.filter((file) => file.startsWith('.')),
        [],
      );
      assert.equal((await gateway.call('DELETE', '/workflows/mine')).status, 200);
      assert.equal((await gateway.call('DELETE', '/workflows/mine')).status, 404);
      assert.equal((await gateway.call('GET', '/workflows/mine')).status, 404);
      const left = await readdir(workflows.folder);
      assert.ok(!left.some((file) => file.startsWith('mine.')));
    });

    it('fails no task while a file is edited, and tells which version each ran', async () => {
      const hashes = new Set<string>();
      const ids: string[] = [];
      for (let edit = 0; edit < 8; edit += 1) {
        const { hash } = await put('edited', sleepGraph(0.01 + edit / 1_000));
        hashes.add(hash);
        for (let i = 0; i < 3; i += 1) ids.push(await gateway.submit({ url, workflow: 'edited' }));
        // An editor that writes the file bit by bit, and one that is interrupted.
        await workflows.write('edited', '{"1": {"class_type": "LoadIm');
      }
      await rm(join(workflows.folder, 'edited.json'));
      assert.equal(hashes.size, 8);
      const ran = new Map<string, number>();
      for (const id of ids) {
        const task = await gateway.until(id);
        assert.equal(task.status, 'completed', task.error ?? '');
        assert.ok(task.workflow_hash);
        ran.set(task.workflow_hash, (ran.get(task.workflow_hash) ?? 0) + 1);
      }
      assert.deepEqual(ran, new Map([...hashes].map((hash) => [hash, 3])));
    });

    it('names files that are no workflows, and what is wrong with them', async () => {
      const loop = sleepGraph(0.01) as Record<string, { inputs: Record<string, unknown> }>;
      const looped = { ...loop, '2': { ...loop['2'], inputs: { image: ['2', 0], seconds: 1 } } };
      const files: [
        name: string,
        content: unknown,
        problem: RegExp | null,
        reason: RegExp | null,
      ][] = [
        ['half', '{"1": {"class_type": "Load', /not JSON.*line 1/s, null],
        ['cycle', looped, /cycle|circle/i, null],
        ['unknown', { ...loop, '9': { class_type: 'NoSuchNode', inputs: {} } }, null, /NoSuchNode/],
        [
          'astray',
          { ...loop, '3': { class_type: 'SaveImage', inputs: { images: ['77', 0] } } },
          /77/,
          null,
        ],
        ['large', `"${'x'.repeat(10 * 1024 * 1024)}"`, /larger than/, null],
        [
          'proto',
          '{"__proto__": {"class_type": "LoadImage", "inputs": {}}, "constructor": 3}',
          /./,
          null,
        ],
        ['nothing', '', /not JSON|empty/, null],
        ['list', '[]', /./, null],
        ['number', '3', /./, null],
        [
          'nul',
          JSON.stringify({ ...loop, '8': { class_type: 'A\u0000', inputs: {} } }),
          /NUL|\\0/,
          null,
        ],
        ['..%2Fup', sleepGraph(0.01), /called by its file name/, null],
      ];
      for (const [name, content] of files) await workflows.write(name, content);
      await rename(join(workflows.folder, 'half.json'), join(workflows.folder, 'half way.json'));
      await eventually(async () => {
        const { body } = await gateway.call('GET', '/workflows');
        const byName = new Map(body.workflows.map((each: { name: string }) => [each.name, each]));
        for (const [name, , problem, reason] of files) {
          const at = name === 'half' ? 'half way' : name;
          // biome-ignore lint/suspicious/noExplicitAny: read as JSON is.
          const found = byName.get(at) as any;
          assert.ok(found, at);
          assert.equal(found.runs_on, 0, at);
          if (problem) assert.match(found.problem ?? '', problem, at);
          if (reason) assert.match(JSON.stringify(found.why_not), reason, at);
        }
        assert.equal(byName.has('half'), false);
      });
      const refused = await gateway.call('POST', '/tasks', { url, workflow: 'cycle' });
      assert.equal(refused.body.code, 'workflow_unavailable');
      assert.equal((await completed({ url, workflow: 'sleep' })).status, 'completed');
      for (const [name] of files) await rm(join(workflows.folder, `${name}.json`), { force: true });
    });
  });
}

describe('workflows behind keys', () => {
  it('lets operators alone change them', async () => {
    await using emulator = await Emulator.start();
    await using workflows = await createTestWorkflows(0.02);
    await using gateway = await TestGateway.start({
      engine: 'postgres',
      backends: [emulator.url],
      env: {
        WORKFLOWS_DIR: workflows.folder,
        API_KEYS: 'alice:alice-secret-0123456789',
        OPERATOR_KEYS: 'ops:ops-secret-0123456789',
      },
    });
    const alice = new GatewayClient(gateway.url, 'alice-secret-0123456789');
    const ops = new GatewayClient(gateway.url, 'ops-secret-0123456789');
    assert.equal((await gateway.call('GET', '/workflows')).status, 401);
    assert.equal((await alice.call('GET', '/workflows')).status, 200);
    assert.equal((await alice.call('PUT', '/workflows/mine', sleepGraph(1))).status, 403);
    assert.equal((await alice.call('DELETE', '/workflows/sleep')).status, 403);
    assert.equal((await ops.call('PUT', '/workflows/mine', sleepGraph(1))).status, 200);
    assert.equal((await ops.call('DELETE', '/workflows/mine')).status, 200);
  });

  it('finishes, and counts, tasks of a workflow whose file is gone after a restart', async () => {
    await using emulator = await Emulator.start();
    await using sources = await SourceServer.start();
    await using workflows = await createTestWorkflows(0.02);
    const url = sources.file('a.png', await samplePng({ width: 20, height: 16, seed: 1 }));
    const env = { WORKFLOWS_DIR: workflows.folder, SOURCE_ALLOW: sources.host };
    await using database = await createTestDatabase('postgres');
    const start = (backends: string[]) =>
      TestGateway.start({ engine: 'postgres', backends, env, database });
    const ids: string[] = [];
    emulator.faults.stall(true);
    {
      await using gateway = await start([emulator.url]);
      for (let i = 0; i < 3; i += 1) ids.push(await gateway.submit({ url, workflow: 'sleep' }));
      await eventually(() => assert.equal(emulator.runs.length, 1));
    }
    await rm(join(workflows.folder, 'sleep.json'));
    // The prompt that ran is lost: its task, too, goes back into the queue.
    await emulator.faults.restart();
    emulator.faults.stall(false);
    {
      await using gateway = await start([]);
      assert.equal((await gateway.call('GET', '/workflows/sleep')).status, 404);
      const { body: stats } = await gateway.call('GET', '/monitor/stats');
      const told = stats.workflows.find(({ name }: { name: string }) => name === 'sleep');
      assert.deepEqual([told?.pending, told?.processing, told?.runs_on], [2, 1, 0]);
      assert.match(told?.problem, /file is gone/);
      const metrics = await request(`${gateway.url}/task-manager/dashboard/metrics`);
      assert.match(await metrics.body.text(), /^queue_depth\{queue_name="sleep"\} 2$/m);
      const dashboard = await request(`${gateway.url}/task-manager/dashboard`);
      assert.match(
        await dashboard.body.text(),
        /<td class="path">sleep<\/td><td class="number">2</,
      );
    }
    await using gateway = await start([emulator.url]);
    for (const id of ids) {
      const task = await gateway.until(id);
      assert.equal(task.status, 'completed', task.error ?? '');
    }
  });
});
