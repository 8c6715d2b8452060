import assert from 'node:assert/strict';
import { ask, Client, post, untilIdle } from './client.ts';
import { type Subject, situation } from './subject.ts';
import {
  historyShape,
  keysByType,
  outputShape,
  playable,
  type RecordedRun,
  recordedRun,
  transcript,
} from './transcript.ts';

const upscale = ['LoadImage', 'SaveImage', 'UpscaleModelLoader', 'ImageUpscaleWithModel'];
const seedvr2 = ['SeedVR2LoadDiTModel', 'SeedVR2LoadVAEModel', 'SeedVR2VideoUpscaler'];
const timed = ['EmulatorSleep'];

export function testRuns(subject: () => Subject): void {
  situation(
    'reports a fresh run, the same one again, and one with another prefix',
    { classes: upscale },
    subject,
    async () => {
      const { url } = subject();
      const prefix = `gw/${crypto.randomUUID()}`;
      await forget(url);
      const normal = recordedRun('normal');
      const first = await replay(url, normal, { filename_prefix: prefix });
      const again = await replay(url, recordedRun('cached'), { filename_prefix: prefix });
      assert.deepEqual(again, first, 'the old file');
      await replay(url, recordedRun('partly-cached'), { filename_prefix: `${prefix}-other` });
      // The model is still there, the picture is another one.
      await replay(url, recordedRun('corrupt-image'), { filename_prefix: prefix });
    },
  );

  situation('ends where memory ran out', { classes: timed, faults: true }, subject, async () => {
    const { url, faults } = subject();
    await load(url);
    faults?.runOutOfMemory();
    const run = recordedRun('out-of-memory');
    await replay(url, run);
    const { json: history } = await ask(`${url}/history?max_items=1`);
    const [entry] = Object.values<{ status: { messages: [string, Record<string, unknown>][] } }>(
      history,
    );
    const [, error] = entry?.status.messages.at(-1) ?? [];
    const recorded = run.received.find(({ message }) => message.type === 'execution_error');
    assert.equal(error?.exception_type, recorded?.message.data.exception_type);
    assert.equal(error?.exception_message, recorded?.message.data.exception_message);
  });

  situation(
    'keeps the outputs that came before an error',
    { classes: timed, faults: true },
    subject,
    async () => {
      const { url, faults } = subject();
      await load(url);
      faults?.failNode('EmulatorSleep', 'boom from node');
      await replay(url, recordedRun('error-after-output'), { filename_prefix: `gw/${Date.now()}` });
    },
  );

  situation('stops an interrupted node at its next tick', { classes: timed }, subject, async () => {
    const { url } = subject();
    await load(url);
    await replay(url, recordedRun('interrupted'), {}, async (client, promptId) => {
      await client.until(({ type }) => type === 'progress');
      await post(`${url}/interrupt`, { prompt_id: crypto.randomUUID() });
      await post(`${url}/interrupt`, { prompt_id: promptId });
    });
  });

  situation(
    'stops before the next node where the running one never ticks',
    { classes: timed, ticks: true },
    subject,
    async () => {
      const { url } = subject();
      await load(url);
      await replay(url, recordedRun('interrupted-late'), {}, async (client, promptId) => {
        await client.until(({ type }) => type === 'execution_cached');
        await post(`${url}/interrupt`, { prompt_id: promptId });
      });
    },
  );

  situation(
    'tells a run to its owner, and the rest only that the queue moved',
    { classes: timed },
    subject,
    async () => {
      const { url } = subject();
      await load(url);
      await using other = await Client.open(url);
      await using owner = await Client.open(url);
      const prompt = playable(recordedRun('without-client'));
      const { json } = await post(`${url}/prompt`, { prompt, client_id: owner.id });
      await owner.untilEnd(json.prompt_id);
      assert.ok(owner.messages.some(({ type }) => type === 'execution_success'));
      await other.until(
        ({ type, data }) => type === 'status' && data.status.exec_info.queue_remaining === 0,
        1,
      );
      assert.deepEqual([...new Set(other.messages.map(({ type }) => type))], ['status']);
    },
  );

  situation(
    'tells everybody the progress of a prompt without a client',
    { classes: timed },
    subject,
    async () => {
      const { url } = subject();
      await load(url);
      const run = recordedRun('without-client');
      await using a = await Client.open(url);
      await using b = await Client.open(url);
      await post(`${url}/prompt`, { prompt: playable(run) });
      const ended = ({
        type,
        data,
      }: {
        type: string;
        data: { status?: { exec_info: { queue_remaining: number } } };
      }) => type === 'status' && data.status?.exec_info.queue_remaining === 0;
      for (const client of [a, b]) {
        await client.until(ended, 1);
        assert.deepEqual(transcript(client.messages.slice(1)), heardBy(run, 'A'));
      }
    },
  );

  situation(
    'tells nobody about a prompt whose client is not connected',
    { classes: timed },
    subject,
    async () => {
      const { url } = subject();
      await load(url);
      const run = recordedRun('unconnected-client');
      await using client = await Client.open(url);
      await post(`${url}/prompt`, { prompt: playable(run), client_id: crypto.randomUUID() });
      await untilIdle(url);
      await client.until(({ data }) => data.status?.exec_info.queue_remaining === 0, 1);
      assert.deepEqual(transcript(client.messages.slice(1)), ['status 1', 'status 1', 'status 0']);
    },
  );

  situation(
    'runs SeedVR2 on a picture',
    { classes: ['LoadImage', 'SaveImage', ...seedvr2] },
    subject,
    async () => {
      const { url } = subject();
      await forget(url);
      const changes = { resolution: 96, max_resolution: 96, filename_prefix: `gw/${Date.now()}` };
      const values = await replay(url, recordedRun('seedvr2-image'), changes, async (client) => {
        const { data } = await client.until(({ type }) => type === 'progress');
        assert.deepEqual([data.value, data.max], [20, 100]);
      });
      assert.deepEqual(Object.keys(values), ['15']);
    },
  );

  const core = ['LoadVideo', 'GetVideoComponents', 'CreateVideo', 'SaveVideo'];
  situation('runs ESRGAN on a clip', { classes: [...upscale, ...core] }, subject, async () => {
    const { url } = subject();
    await forget(url);
    await loadModel(url);
    await replay(url, recordedRun('esrgan-video'), { filename_prefix: `gw/${Date.now()}` });
  });

  const vhs = ['VHS_LoadVideo', 'VHS_VideoInfoLoaded', 'VHS_VideoCombine'];
  situation(
    'runs SeedVR2 on a clip with VideoHelperSuite',
    { classes: [...seedvr2, ...vhs] },
    subject,
    async () => {
      const { url } = subject();
      const run = recordedRun('seedvr2-vhs-video');
      await forget(url);
      // The recorded server still had the DiT model, but not the VAE, whose settings differ.
      const image = recordedRun('seedvr2-image');
      const small = { resolution: 64, max_resolution: 0 };
      await post(`${url}/prompt`, { prompt: playable(image, small) });
      await untilIdle(url);
      await replay(url, run, { ...small, filename_prefix: `gw/${crypto.randomUUID()}/out` });
    },
  );
}

/** Posts a recorded graph, and compares all that follows with the recording. */
async function replay(
  url: string,
  run: RecordedRun,
  changes: Record<string, unknown> = {},
  meanwhile: (client: Client, promptId: string) => Promise<void> = async () => {},
): Promise<Record<string, unknown>> {
  await untilIdle(url);
  await using client = await Client.open(url);
  const prompt = playable(run, changes);
  const { status, json, text } = await post(`${url}/prompt`, { prompt, client_id: client.id });
  assert.equal(status, 200, text);
  await meanwhile(client, json.prompt_id);
  await client.untilEnd(json.prompt_id);

  const heard = client.messages.slice(1);
  const owner = run.received.at(-1)?.client ?? 'A';
  assert.deepEqual(transcript(heard), heardBy(run, owner));
  const recorded = run.received.filter((each) => each.client === owner).map((each) => each.message);
  assert.deepEqual(keysByType(heard), keysByType(recorded));
  for (const { type, data } of heard) {
    if ('timestamp' in data) assert.ok(Math.abs(data.timestamp - Date.now()) < 120_000, type);
  }

  const { json: history } = await ask(`${url}/history/${json.prompt_id}`);
  const entry = history[json.prompt_id];
  assert.deepEqual(Object.keys(entry).toSorted(), ['meta', 'outputs', 'prompt', 'status']);
  assert.deepEqual(entry.prompt.slice(0, 2), [json.number, json.prompt_id]);
  if (run.history !== null) {
    assert.deepEqual(historyShape(entry), historyShape(run.history));
    const hasTestNodes = Object.values(run.prompt).some(({ class_type }) =>
      class_type.startsWith('Gw'),
    );
    if (!hasTestNodes && !('filename_prefix' in changes)) {
      assert.deepEqual(outputShape(entry.outputs), outputShape(run.history.outputs));
    }
  }
  return entry.outputs;
}

function heardBy(run: RecordedRun, client: string): string[] {
  const heard = run.received.filter((each) => each.client === client);
  return transcript(heard.map((each) => each.message));
}

/** Leaves nothing cached that a recorded graph could use. */
async function forget(url: string): Promise<void> {
  await post(`${url}/free`, { unload_models: true, free_memory: true });
  await runQuietly(url, {
    1: { class_type: 'LoadImage', inputs: { image: 's/t/a.png' } },
    2: { class_type: 'PreviewImage', inputs: { images: ['1', 0] } },
  });
}

/** Leaves the picture of the recorded graphs cached, as the recorded server had it. */
async function load(url: string): Promise<void> {
  await runQuietly(url, {
    1: { class_type: 'LoadImage', inputs: { image: 'in96.png' } },
    2: { class_type: 'PreviewImage', inputs: { images: ['1', 0] } },
  });
}

/** Leaves the model cached. */
async function loadModel(url: string): Promise<void> {
  await runQuietly(url, {
    1: { class_type: 'LoadImage', inputs: { image: 'gw_example.png' } },
    2: { class_type: 'UpscaleModelLoader', inputs: { model_name: 'RealESRGAN_x4plus.pth' } },
    3: {
      class_type: 'ImageUpscaleWithModel',
      inputs: { upscale_model: ['2', 0], image: ['1', 0] },
    },
    4: { class_type: 'PreviewImage', inputs: { images: ['3', 0] } },
  });
}

async function runQuietly(url: string, prompt: object): Promise<void> {
  await untilIdle(url);
  await post(`${url}/prompt`, { prompt, client_id: crypto.randomUUID() });
  await untilIdle(url);
}
