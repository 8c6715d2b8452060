/** The emulator's ways to be one of several unlike servers, and to fail in ways a pool must bear. */

import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fetch } from 'undici';
import { Emulator, type EmulatorOptions } from '../src/emulator/emulator.ts';
import { Catalog } from '../src/emulator/object-info.ts';
import { ask, Client, post, untilIdle } from './conformance/client.ts';
import { picture, upload } from './conformance/fixtures.ts';
import { sampleMp4 } from './support/media-samples.ts';
import { patienceMs } from './support/patience.ts';
import { vhsCombines, vhsLoadsAsItIs } from './support/vhs-values.ts';

type Graph = Record<string, { class_type: string; inputs: Record<string, unknown> }>;

let nonce = 0;

function sleeper(inputs: Record<string, unknown> = {}): Graph {
  return {
    1: { class_type: 'LoadImage', inputs: { image: 'in.png' } },
    2: {
      class_type: 'EmulatorSleep',
      inputs: { image: ['1', 0], seconds: 0, ticks: 5, nonce: nonce++, ...inputs },
    },
    3: { class_type: 'SaveImage', inputs: { images: ['2', 0], filename_prefix: 'out' } },
  };
}

describe('an emulator among others', () => {
  const cleanup: Emulator[] = [];
  afterEach(async () => {
    for (const emulator of cleanup.splice(0)) await emulator.close();
  });

  async function start(options: EmulatorOptions = {}): Promise<Emulator> {
    const emulator = await Emulator.start(options);
    cleanup.push(emulator);
    await upload(emulator.url, { name: 'in.png', content: await picture(48, 32) });
    return emulator;
  }

  async function submit({ url }: Emulator, prompt: Graph, client?: Client): Promise<string> {
    const body = { prompt, ...(client ? { client_id: client.id } : {}) };
    const { status, json, text } = await post(`${url}/prompt`, body);
    assert.equal(status, 200, text);
    assert.deepEqual(json.node_errors, {});
    return json.prompt_id;
  }

  async function run(emulator: Emulator, prompt: Graph) {
    const id = await submit(emulator, prompt);
    await untilIdle(emulator.url);
    const found = emulator.runs.find((each) => each.id === id);
    assert.ok(found?.endedAt);
    return { ...found, ms: found.endedAt - found.startedAt };
  }

  async function until(isSo: () => boolean): Promise<void> {
    const deadline = Date.now() + patienceMs;
    while (!isSo()) {
      assert.ok(Date.now() < deadline, 'it did not come to pass');
      await delay(5);
    }
  }

  const hour = 3600;

  describe('models', () => {
    it('loads a model once, and another one in its place', async () => {
      const emulator = await start();
      const first = await run(emulator, sleeper({ model: 'a', load_seconds: 0.2 }));
      assert.deepEqual([first.model, first.loadedModel], ['a', true]);
      assert.ok(first.ms >= 200, String(first.ms));
      const warm = await run(emulator, sleeper({ model: 'a', load_seconds: hour }));
      assert.deepEqual([warm.model, warm.loadedModel], ['a', false]);
      const other = await run(emulator, sleeper({ model: 'b', load_seconds: 0.2 }));
      assert.deepEqual([other.model, other.loadedModel], ['b', true]);
      assert.ok(other.ms >= 200, String(other.ms));
      assert.equal((await run(emulator, sleeper({ model: 'a' }))).loadedModel, true);
    });

    it('keeps only what the last prompt used', async () => {
      const emulator = await start();
      await run(emulator, sleeper({ model: 'a' }));
      const plain = await run(emulator, sleeper());
      assert.deepEqual([plain.model, plain.loadedModel], ['', false]);
      assert.equal((await run(emulator, sleeper({ model: 'a' }))).loadedModel, true);
    });

    it('keeps the model of a prompt that is cached', async () => {
      const emulator = await start();
      const prompt = sleeper({ model: 'a' });
      await run(emulator, prompt);
      const cached = await run(emulator, prompt);
      assert.deepEqual([cached.model, cached.loadedModel], ['a', false]);
      assert.equal((await run(emulator, sleeper({ model: 'a' }))).loadedModel, false);
    });

    it('forgets the model when it is freed, and counts that', async () => {
      const emulator = await start();
      const hasIt = async () => !(await run(emulator, sleeper({ model: 'a' }))).loadedModel;
      assert.equal(await hasIt(), false);
      const kept = await post(`${emulator.url}/free`, { unload_models: false });
      assert.deepEqual([kept.status, kept.text], [200, '']);
      assert.equal(await hasIt(), true);
      await post(`${emulator.url}/free`, { unload_models: true });
      assert.equal(await hasIt(), false);
      await post(`${emulator.url}/free`, { free_memory: true });
      assert.equal(await hasIt(), false);
      assert.equal((await post(`${emulator.url}/free`, '')).status, 500);
      assert.equal(emulator.freed, 3);
    });

    it('frees between prompts, never under one', async () => {
      const emulator = await start();
      await run(emulator, sleeper({ model: 'a' }));
      const id = await submit(emulator, sleeper({ model: 'a', seconds: 0.3 }));
      const next = await submit(emulator, sleeper({ model: 'a' }));
      await until(() => emulator.runs.some((each) => each.id === id));
      await post(`${emulator.url}/free`, { unload_models: true, free_memory: true });
      await untilIdle(emulator.url);
      const loads = emulator.runs.filter((each) => each.loadedModel).map((each) => each.id);
      assert.deepEqual(loads.slice(1), [next]);
    });

    it('forgets the model in a restart', async () => {
      const emulator = await start();
      await run(emulator, sleeper({ model: 'a' }));
      await emulator.faults.restart();
      assert.equal((await run(emulator, sleeper({ model: 'a' }))).loadedModel, true);
    });
  });

  describe('speed', () => {
    it('is slower than others by its factor, with the same graph', async () => {
      const prompt = sleeper({ seconds: 0.1 });
      const slow = await run(await start({ slowdown: 3 }), prompt);
      assert.ok(slow.ms >= 300, String(slow.ms));
    });

    it('counts time in fractions of milliseconds, and is never early', async () => {
      const emulator = await start();
      const before = Date.now();
      const { startedAt, ms } = await run(emulator, sleeper({ seconds: 0.0505, ticks: 50 }));
      assert.ok(ms >= 50.5, String(ms));
      assert.ok(Math.abs(startedAt - before) < 10_000);
      assert.ok(!Number.isInteger(startedAt) || !Number.isInteger(ms));
    });
  });

  describe('what it lacks', () => {
    it('neither describes nor accepts a class that it lacks', async () => {
      const { url } = await start({ withoutNodes: ['EmulatorSleep'] });
      const { json: all } = await ask(`${url}/object_info`);
      assert.deepEqual(['EmulatorSleep' in all, 'SaveImage' in all], [false, true]);
      assert.deepEqual((await ask(`${url}/object_info/EmulatorSleep`)).json, {});
      const { status, json } = await post(`${url}/prompt`, { prompt: sleeper() });
      assert.equal(status, 400);
      assert.deepEqual(json, {
        error: {
          type: 'invalid_prompt',
          message: 'Cannot execute because node EmulatorSleep does not exist.',
          details: "Node ID '#2'",
          extra_info: {},
        },
        node_errors: {},
      });
    });

    it('does not list a model that it lacks, and fails to load it when the node runs', async () => {
      const lacking = 'RealESRGAN_x4plus.pth';
      // A newer version refuses the prompt.
      const emulator = await start({ withoutModels: [lacking], loaders: '0.3.64' });
      const { json: info } = await ask(`${emulator.url}/object_info/UpscaleModelLoader`);
      const all = new Catalog().optionsOf('UpscaleModelLoader', 'model_name');
      const offered = all.filter((name) => name !== lacking);
      assert.equal(offered.length, all.length - 1);
      assert.deepEqual(info.UpscaleModelLoader.input.required.model_name[1].options, offered);
      assert.deepEqual((await ask(`${emulator.url}/models/upscale_models`)).json, offered);
      const upscale = (model_name: string): Graph => ({
        1: { class_type: 'LoadImage', inputs: { image: 'in.png' } },
        2: { class_type: 'UpscaleModelLoader', inputs: { model_name } },
        3: {
          class_type: 'ImageUpscaleWithModel',
          inputs: { image: ['1', 0], upscale_model: ['2', 0] },
        },
        4: { class_type: 'PreviewImage', inputs: { images: ['3', 0] } },
      });
      const { id, status } = await run(emulator, upscale(lacking));
      assert.equal(status, 'error');
      const { json: history } = await ask(`${emulator.url}/history/${id}`);
      const [event, error] = history[id].status.messages.at(-1);
      assert.deepEqual([event, error.node_id], ['execution_error', '2']);
      assert.equal(error.exception_type, 'FileNotFoundError');
      assert.equal((await run(emulator, upscale('RealESRGAN_x2plus.pth'))).status, 'success');
    });
  });

  describe('deaths', () => {
    it('dies whenever a node of the class would run, and comes back', async () => {
      const emulator = await start();
      emulator.faults.dieOn('ImageScaleBy', { times: 2, refuseMs: 100 });
      const poisonous: Graph = {
        ...sleeper(),
        4: {
          class_type: 'ImageScaleBy',
          inputs: { image: ['1', 0], upscale_method: 'bilinear', scale_by: 2 },
        },
        5: { class_type: 'PreviewImage', inputs: { images: ['4', 0] } },
      };
      assert.equal((await run(emulator, sleeper())).status, 'success');
      for (const round of [1, 2]) {
        const client = await Client.open(emulator.url);
        const id = await submit(emulator, poisonous, client);
        await until(() => emulator.runs.some((each) => each.id === id && each.status === 'lost'));
        await until(() => !client.isOpen);
        await emulator.faults.restart();
        assert.deepEqual((await ask(`${emulator.url}/history`)).json, {}, `round ${round}`);
      }
      assert.equal((await run(emulator, poisonous)).status, 'success');
    });

    it('refuses connections while it is dead', async () => {
      const emulator = await start();
      emulator.faults.dieOn('EmulatorSleep', { refuseMs: 2_000 });
      await submit(emulator, sleeper());
      await until(() => emulator.runs[0]?.status === 'lost');
      await assert.rejects(fetch(`${emulator.url}/queue`));
      const deadline = Date.now() + patienceMs;
      const answers = () => fetch(`${emulator.url}/queue`).then((response) => response.ok);
      while (!(await answers().catch(() => false))) {
        assert.ok(Date.now() < deadline, 'it did not come back');
        await delay(20);
      }
      assert.equal((await run(emulator, sleeper())).status, 'success');
    });

    it('can be closed while it is dead, and stays closed', async () => {
      const emulator = await start();
      emulator.faults.dieOn('EmulatorSleep', { refuseMs: hour * 1000 });
      await submit(emulator, sleeper());
      await until(() => emulator.runs[0]?.status === 'lost');
      await emulator.close();
      await assert.rejects(fetch(`${emulator.url}/queue`));
    });
  });

  describe('memory', () => {
    it('runs out of it only with prompts that have a class', async () => {
      const emulator = await start();
      emulator.faults.runOutOfMemory(1, { classType: 'EmulatorSleep' });
      const plain: Graph = {
        1: { class_type: 'LoadImage', inputs: { image: 'in.png' } },
        2: { class_type: 'PreviewImage', inputs: { images: ['1', 0] } },
      };
      const ends = [];
      for (const prompt of [plain, sleeper(), sleeper()]) {
        ends.push((await run(emulator, prompt)).status);
      }
      assert.deepEqual(ends, ['success', 'error', 'success']);
    });

    it('runs out of it only with prompts that have a marker', async () => {
      const emulator = await start();
      emulator.faults.runOutOfMemory(Number.POSITIVE_INFINITY, { marker: 'huge' });
      const ends = [];
      for (const model of ['small', 'huge', 'small', 'huge']) {
        ends.push((await run(emulator, sleeper({ model }))).status);
      }
      assert.deepEqual(ends, ['success', 'error', 'success', 'error']);
      emulator.faults.runOutOfMemory(0);
      assert.equal((await run(emulator, sleeper({ model: 'huge' }))).status, 'success');
    });
  });

  describe('deaf sockets', () => {
    it('are cured by a new connection', async () => {
      const emulator = await start();
      await using deaf = await Client.open(emulator.url);
      emulator.faults.muteSockets(true, { onlyPresent: true });
      await using later = await Client.open(emulator.url);
      const unheard = await submit(emulator, sleeper(), deaf);
      await later.untilEnd(await submit(emulator, sleeper(), later));
      assert.equal(emulator.runs.find(({ id }) => id === unheard)?.status, 'success');
      assert.deepEqual([deaf.isOpen, deaf.messages.length], [true, 1]);
      emulator.faults.muteSockets(false);
      await deaf.untilEnd(await submit(emulator, sleeper(), deaf));
    });
  });

  describe('jobs', () => {
    it('has no such thing in 0.3.64', async () => {
      const { url } = await start();
      const list = await ask(`${url}/api/jobs`);
      assert.deepEqual([list.status, list.text, list.json], [404, '', undefined]);
      const cancel = await post(`${url}/api/jobs/${crypto.randomUUID()}/cancel`, {});
      assert.deepEqual([cancel.status, cancel.json], [405, undefined]);
    });

    it('lists what waits, runs and ended', async () => {
      const emulator = await start({ hasJobs: true });
      const { url } = emulator;
      const done = await run(emulator, sleeper());
      emulator.faults.failNode('EmulatorSleep', 'boom');
      const failed = await run(emulator, sleeper());
      const running = await submit(emulator, sleeper({ seconds: hour, ticks: 10_000 }));
      const pending = await submit(emulator, sleeper());
      await until(() => emulator.runs.some(({ id }) => id === running));
      const { json } = await ask(`${url}/api/jobs?sort_order=asc`);
      assert.deepEqual(
        json.jobs.map(({ id, status }: { id: string; status: string }) => [id, status]),
        [
          [done.id, 'completed'],
          [failed.id, 'failed'],
          [running, 'in_progress'],
          [pending, 'pending'],
        ],
      );
      assert.deepEqual(json.pagination, { offset: 0, limit: null, total: 4, has_more: false });
      const [completed] = json.jobs;
      assert.equal(completed.outputs_count, 1);
      assert.equal(completed.preview_output.filename, 'out_00001_.png');
      assert.ok(completed.execution_end_time >= completed.execution_start_time);

      const page = await ask(`${url}/api/jobs?status=completed,failed&limit=1`);
      assert.deepEqual(page.json.pagination, { offset: 0, limit: 1, total: 2, has_more: true });
      for (const query of ['status=done', 'limit=0', 'limit=x', 'offset=x', 'sort_order=up']) {
        assert.equal((await ask(`${url}/api/jobs?${query}`)).status, 400, query);
      }
      const one = await ask(`${url}/api/jobs/${done.id}`);
      assert.deepEqual([one.json.status, Object.keys(one.json.outputs)], ['completed', ['3']]);
      assert.equal((await ask(`${url}/api/jobs/${running}`)).json.status, 'in_progress');
      assert.equal((await ask(`${url}/api/jobs/nope`)).status, 404);
    });

    it('cancels in every state', async () => {
      const emulator = await start({ hasJobs: true });
      const { url } = emulator;
      const cancel = async (id: string) => {
        const { status, json } = await post(`${url}/api/jobs/${id}/cancel`, '');
        assert.equal(status, 200);
        return json;
      };
      const running = await submit(emulator, sleeper({ seconds: hour, ticks: 10_000 }));
      const pending = await submit(emulator, sleeper());
      await until(() => emulator.runs.some(({ id }) => id === running));
      assert.deepEqual(await cancel(pending), { cancelled: true });
      assert.deepEqual(await cancel(pending), { cancelled: false });
      assert.deepEqual(await cancel(running), { cancelled: true });
      await untilIdle(url);
      assert.deepEqual(await cancel(running), { cancelled: false });
      assert.deepEqual(await cancel('nope'), { cancelled: false });
      assert.deepEqual(
        emulator.runs.map(({ id, status }) => [id, status]),
        [[running, 'interrupted']],
      );
      assert.equal((await ask(`${url}/api/jobs/${running}`)).json.status, 'cancelled');
    });
  });

  it('looks into the promise of sound that VideoHelperSuite gives, from ComfyUI 0.30 on', async () => {
    const content = await sampleMp4({ width: 16, height: 16, frames: 2, fps: 10 });
    const clip = (audio: Record<string, unknown>): Graph => ({
      1: { class_type: 'VHS_LoadVideo', inputs: { ...vhsLoadsAsItIs, video: 'silent.mp4' } },
      2: {
        class_type: 'VHS_VideoCombine',
        inputs: { ...vhsCombines, images: ['1', 0], ...audio },
      },
    });
    for (const [loaders, audio, status] of [
      ['0.3.64', { audio: ['1', 2] }, 'success'],
      ['0.33', { audio: ['1', 2] }, 'error'],
      ['0.33', {}, 'success'],
    ] as const) {
      const emulator = await start({ loaders });
      await upload(emulator.url, { name: 'silent.mp4', content });
      assert.equal((await run(emulator, clip(audio))).status, status, loaders);
    }
  });

  it('describes its device as recorded', async () => {
    const { url } = await start({ loaders: '0.3.64' });
    const { json } = await ask(`${url}/system_stats`);
    assert.match(json.system.comfyui_version, /^0\.3\.64/);
    assert.equal(json.devices.length, 1);
    const { name, type, index, ...memory } = json.devices[0];
    assert.deepEqual([name.startsWith('cpu'), type, index], [true, 'cpu', null]);
    assert.deepEqual(Object.keys(memory), [
      'vram_total',
      'vram_free',
      'torch_vram_total',
      'torch_vram_free',
    ]);
    for (const bytes of Object.values(memory)) assert.equal(typeof bytes, 'number');
  });
});
