import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { ALL_FORMATS, BufferSource, Input } from 'mediabunny';
import { request } from 'undici';
import { Emulator } from '../src/emulator/emulator.ts';
import { multipartForm } from './support/form.ts';
import type { OutputBody, TaskBody } from './support/gateway-client.ts';
import { sampleMp4, samplePng } from './support/media-samples.ts';
import { sampleWav } from './support/sample-wav.ts';
import { SourceServer } from './support/source-server.ts';
import { TestGateway } from './support/test-gateway.ts';
import { createTestWorkflows } from './support/test-workflows.ts';
import { vhsLoadsAsItIs } from './support/vhs-values.ts';

interface Node {
  readonly class_type: string;
  readonly inputs: Record<string, unknown>;
  readonly _meta?: { readonly title: string };
}
type Graph = Record<string, Node>;

function saving(class_type: string, inputs: Record<string, unknown>): Node {
  return { class_type, inputs: { filename_prefix: 'x', ...inputs } };
}

const silence = {
  class_type: 'EmptyAudio',
  inputs: { duration: 0.5, sample_rate: 48_000, channels: 2 },
};
const picture = { class_type: 'LoadImage', inputs: { image: 'a.png' } };
const svg = '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><rect/></svg>';

const graphs = {
  sounds: {
    '1': silence,
    '2': saving('SaveAudio', { audio: ['1', 0] }),
    '3': saving('SaveAudioMP3', { audio: ['1', 0], quality: 'V0' }),
    '4': saving('SaveAudioOpus', { audio: ['1', 0], quality: '96k' }),
  },
  others: {
    '1': { class_type: 'EmulatorValue', inputs: { value: svg } },
    '2': { class_type: 'EmptyLatentImage', inputs: { width: 64, height: 32, batch_size: 1 } },
    '3': saving('SaveSVGNode', { svg: ['1', 0] }),
    '4': saving('SaveGLB', { mesh: ['1', 1] }),
    '5': saving('SaveLatent', { samples: ['2', 0] }),
  },
  heard: {
    '1': { class_type: 'LoadAudio', inputs: { audio: 'a.mp3' } },
    '2': saving('SaveAudio', { audio: ['1', 0] }),
  },
  soundtrack: {
    '1': { class_type: 'LoadVideo', inputs: { file: 'x.mp4' } },
    '2': { class_type: 'GetVideoComponents', inputs: { video: ['1', 0] } },
    '3': { ...saving('SaveAudio', { audio: ['2', 1] }), _meta: { title: '@output' } },
  },
  both: {
    '1': { class_type: 'LoadAudio', inputs: { audio: 'a.mp3' } },
    '2': saving('SaveAudioMP3', { audio: ['1', 0], quality: 'V0' }),
    '3': picture,
    '4': saving('SaveImage', { images: ['3', 0] }),
  },
  told: {
    '1': {
      class_type: 'PrimitiveStringMultiline',
      inputs: { value: 'a cat, 猫' },
      _meta: { title: '@param:said=value' },
    },
    '2': { class_type: 'PreviewAny', inputs: { source: ['1', 0] } },
  },
  captioned: {
    '1': picture,
    '2': saving('SaveImage', { images: ['1', 0] }),
    '3': { class_type: 'PrimitiveString', inputs: { value: 'a caption' } },
    '4': saving('SaveText', { text: ['3', 0], format: 'md' }),
  },
  listed: {
    '1': { class_type: 'PrimitiveString', inputs: { value: 'name,age' } },
    '2': saving('SaveText', { text: ['1', 0], format: 'csv' }),
  },
  sequence: {
    '1': {
      class_type: 'VHS_LoadVideo',
      inputs: { video: 'x.mp4', ...vhsLoadsAsItIs },
    },
    '2': saving('VHS_VideoCombine', {
      ...{ images: ['1', 0], frame_rate: 8, loop_count: 0, format: 'video/16bit-png' },
      ...{ audio: ['1', 2], pingpong: false, save_output: true },
    }),
  },
  moving: {
    '1': { class_type: 'LoadVideo', inputs: { file: 'x.mp4' } },
    '2': { class_type: 'GetVideoComponents', inputs: { video: ['1', 0] } },
    '3': saving('SaveAnimatedWEBP', {
      ...{ images: ['2', 0], fps: 10, lossless: false, quality: 80, method: 'default' },
    }),
  },
} satisfies Record<string, Graph>;

describe('results that are no pictures', () => {
  const cleanup = new AsyncDisposableStack();
  let gateway: TestGateway;
  let sources: SourceServer;

  before(async () => {
    const emulator = cleanup.use(await Emulator.start());
    sources = cleanup.use(await SourceServer.start());
    const workflows = cleanup.use(await createTestWorkflows(0.01));
    for (const [name, graph] of Object.entries(graphs)) await workflows.write(name, graph);
    gateway = cleanup.use(
      await TestGateway.start({
        engine: 'pglite',
        backends: [emulator.url],
        env: { SOURCE_ALLOW: sources.host, WORKFLOWS_DIR: workflows.folder, MAX_OUTPUTS: '5' },
      }),
    );
  });
  after(() => cleanup.disposeAsync());

  async function run(workflow: keyof typeof graphs, task: object = {}): Promise<TaskBody> {
    const done = await gateway.until(await gateway.submit({ workflow, ...task }));
    assert.equal(done.status, 'completed', done.error ?? '');
    return done;
  }

  async function opened({ url, metadata }: OutputBody) {
    const response = await request(url);
    const bytes = Buffer.from(await response.body.arrayBuffer());
    assert.equal(response.headers['content-type'], metadata.content_type);
    assert.equal(response.headers['x-content-type-options'], 'nosniff');
    assert.equal(createHash('sha256').update(bytes).digest('hex'), metadata.sha256);
    return { bytes, headers: response.headers };
  }

  async function described(name: string) {
    const { body } = await gateway.call('GET', `/workflows/${name}`);
    const outputs = body.outputs as { name: string; type: string; content_types: string[] }[];
    return {
      type: body.type,
      inputs: (body.inputs as { name: string; type: string; required: boolean }[]).map(
        (each) => `${each.name} ${each.type} ${each.required}`,
      ),
      outputs: outputs.map((each) => `${each.name} ${each.type} ${each.content_types}`),
    };
  }

  it('names what workflows take and make', async () => {
    assert.deepEqual(await described('sounds'), {
      type: 'audio',
      inputs: [],
      outputs: ['audio_2 audio audio/flac', 'audio_3 audio audio/mpeg', 'audio_4 audio audio/ogg'],
    });
    assert.deepEqual((await described('others')).outputs, [
      'result image image/svg+xml',
      'mesh 3d model/gltf-binary',
      'latent latent application/octet-stream',
    ]);
    assert.deepEqual(await described('heard'), {
      type: 'audio',
      inputs: ['audio audio true'],
      outputs: ['result audio audio/flac'],
    });
    // What had one name when sounds were not found has it still, and nothing new is required.
    assert.deepEqual(await described('both'), {
      type: 'image',
      inputs: ['image image true', 'audio audio false'],
      outputs: ['result image image/png', 'audio audio audio/mpeg'],
    });
    assert.deepEqual((await described('told')).outputs, ['result text text/plain; charset=utf-8']);
    assert.deepEqual((await described('sequence')).outputs, ['result image image/png']);
  });

  it('takes the graph out of sounds, and tells how long they are', async () => {
    const done = await run('sounds');
    for (const [index, [format, type]] of [
      ['flac', 'audio/flac'],
      ['mp3', 'audio/mpeg'],
      ['opus', 'audio/ogg'],
    ].entries()) {
      const output = done.outputs[index];
      assert.ok(output);
      const { bytes } = await opened(output);
      assert.equal(bytes.includes('class_type'), false, format);
      assert.deepEqual(
        [output.metadata.kind, output.metadata.format, output.metadata.content_type],
        ['audio', format, type],
      );
      assert.equal(output.metadata.metadata_kept, undefined);
      assert.ok(Math.abs(output.metadata.duration_seconds - 0.5) < 0.1, format);
      using input = new Input({ source: new BufferSource(bytes), formats: ALL_FORMATS });
      const track = await input.getPrimaryAudioTrack();
      assert.ok(Math.abs(((await track?.computeDuration()) ?? 0) - 0.5) < 0.1, format);
    }
    const kept = await run('sounds', { keep_metadata: true });
    for (const output of kept.outputs) {
      assert.ok((await opened(output)).bytes.includes('EmptyAudio'), output.url);
      assert.equal(output.metadata.metadata_kept, true);
    }
  });

  it('takes the graph out of drawings, models and latents, and lets no drawing run', async () => {
    const { outputs } = await run('others');
    const [drawing, mesh, latent] = await Promise.all(outputs.map(opened));
    assert.ok(drawing && mesh && latent);
    for (const { bytes } of [drawing, mesh, latent]) {
      assert.equal(bytes.includes('class_type'), false);
    }
    assert.deepEqual(
      outputs.map(({ url, metadata }) => [url.split('.').at(-1), metadata.metadata_kept]),
      [
        ['svg', undefined],
        ['glb', undefined],
        ['latent', undefined],
      ],
    );
    assert.match(
      drawing.bytes.toString(),
      /^<\?xml version="1.0"\?>\n<svg [^>]*>\s*<rect\/><\/svg>$/,
    );
    assert.match(String(drawing.headers['content-security-policy']), /default-src 'none'.*sandbox/);
    assert.match(String(drawing.headers['content-disposition']), /^attachment/);
    const description = mesh.bytes.subarray(20, 20 + mesh.bytes.readUInt32LE(12));
    assert.deepEqual(JSON.parse(description.toString()).asset, {
      version: '2.0',
      generator: 'ComfyUI',
    });
    assert.equal(mesh.bytes.readUInt32LE(8), mesh.bytes.length);
    const header = JSON.parse(latent.bytes.toString('utf8', 8, 8 + latent.bytes.readUInt32LE(0)));
    assert.deepEqual(header.latent_tensor.shape, [1, 4, 4, 8]);
    const unwanted = [
      { workflow: 'others', format: 'webp' },
      { workflow: 'others', output_dims: [64, 64] },
      { workflow: 'told', outscale: 2 },
      { workflow: 'heard', outscale: 2, url: sources.file('voice', sampleWav()) },
    ];
    for (const wish of unwanted) {
      const { status, body } = await gateway.call('POST', '/tasks', wish);
      assert.deepEqual([status, body.code], [400, 'invalid_request'], JSON.stringify(wish));
      assert.match(body.message, /images of pixels|leave the size out/);
    }
    const kept = await run('others', { keep_metadata: true });
    for (const output of kept.outputs) {
      assert.ok((await opened(output)).bytes.includes('EmulatorValue'));
      assert.equal(output.metadata.metadata_kept, true);
    }
  });

  it('takes a sound, by whatever its bytes say it is', async () => {
    const wav = sources.file('voice', sampleWav({ seconds: 1, channels: 2 }));
    const heard = await run('heard', { url: wav });
    const { input, ...made } = heard.output?.metadata ?? {};
    const told = {
      kind: 'audio',
      format: 'wav',
      codec: 'pcm-s16',
      channels: 2,
      sample_rate: 8_000,
    };
    assert.deepEqual(input, { ...told, duration_seconds: 1 });
    assert.deepEqual([made.format, made.scale], ['flac', null]);
    // An encoder fills its last block up.
    assert.ok(Math.abs(made.duration_seconds - 1) < 0.02);
    const { contentType, body } = multipartForm([
      ['workflow', 'heard'],
      ['file', { bytes: sampleWav(), fileName: 'voice.wav' }],
    ]);
    const sent = await request(`${gateway.url}/tasks`, {
      method: 'POST',
      headers: { 'content-type': contentType },
      body,
    });
    const { task_id } = (await sent.body.json()) as { task_id: string };
    assert.equal((await gateway.until(task_id)).output?.metadata.input.format, 'wav');
    const again = await run('heard', { url: heard.output?.url, type: 'audio' });
    assert.equal(again.output?.metadata.input.format, 'flac');
    const clip = await sampleMp4({ width: 16, height: 16, frames: 4, fps: 8, audio: true });
    const track = await run('soundtrack', { url: sources.file('clip.mp4', clip) });
    assert.deepEqual(
      [track.output?.metadata.kind, track.output?.metadata.content_type],
      ['audio', 'audio/flac'],
    );
    assert.ok(track.output);
    assert.equal((await opened(track.output)).bytes.includes('class_type'), false);
  });

  it('says what is wrong with a sound that it does not take', async () => {
    const refusals = [
      ['surround.wav', sampleWav({ channels: 6 }), 'media_unsupported', /6 channels.*-ac 2/],
      ['cut.wav', sampleWav().subarray(0, 2_000), 'media_corrupt', /sound is damaged or cut off/],
      [
        'photo.png',
        await samplePng({ width: 8, height: 8 }),
        'media_mismatch',
        /an image \(png\).*takes a sound/,
      ],
    ] as const;
    for (const [name, bytes, code, message] of refusals) {
      const url = sources.file(name, bytes);
      const done = await gateway.until(await gateway.submit({ workflow: 'heard', url }));
      assert.equal(done.error_code, code, name);
      assert.match(String(done.error), message);
    }
  });

  it('gives a text by itself, and as a file', async () => {
    const done = await run('told');
    assert.equal(done.text, 'a cat, 猫');
    assert.equal(done.outputs.length, 1);
    assert.ok(done.output);
    assert.equal(done.output.metadata.content_type, 'text/plain; charset=utf-8');
    const { bytes, headers } = await opened(done.output);
    assert.equal(bytes.toString(), 'a cat, 猫');
    assert.match(String(headers['content-disposition']), /^attachment.*\.txt$/);
    const long = '猫'.repeat(40_000);
    const longest = await run('told', { inputs: { said: long } });
    assert.ok(longest.output);
    assert.equal(longest.text, '猫'.repeat(Math.floor(65_536 / 3)));
    assert.equal((await opened(longest.output)).bytes.toString(), long);
    const listed = (await gateway.newest()).find(({ task_id }) => task_id === longest.task_id);
    assert.equal(listed?.text, null);
    const empty = await run('told', { inputs: { said: '' } });
    assert.equal(empty.text, '');
  });

  it('gives a table as a text, of which no graph is said to be in it', async () => {
    assert.deepEqual((await described('listed')).outputs, ['result text text/csv; charset=utf-8']);
    const { text, output } = await run('listed');
    assert.ok(output);
    const { metadata } = output;
    assert.deepEqual(
      [text, metadata.content_type, metadata.metadata_kept],
      ['name,age', 'text/csv; charset=utf-8', undefined],
    );
    assert.equal((await opened(output)).bytes.toString(), 'name,age');
  });

  it('gives a text beside the pictures of the same graph', async () => {
    const url = sources.file('photo.png', await samplePng({ width: 8, height: 8 }));
    const done = await run('captioned', { url });
    assert.equal(done.text, 'a caption');
    assert.deepEqual(
      done.outputs.map(({ name, metadata }) => [name, metadata.content_type]),
      [
        ['result', 'image/png'],
        ['text', 'text/markdown; charset=utf-8'],
      ],
    );
    const both = await run('both', {
      url,
      inputs: { audio: sources.file('voice.wav', sampleWav()) },
    });
    assert.deepEqual(
      both.outputs.map(({ name, metadata }) => [name, metadata.format]),
      [
        ['result', 'png'],
        ['audio', 'mp3'],
      ],
    );
  });

  it('tells of what moves how many frames it has, and how long they stay', async () => {
    const clip = await sampleMp4({ width: 16, height: 16, frames: 4, fps: 8 });
    const { output } = await run('moving', { url: sources.file('four.mp4', clip) });
    assert.ok(output);
    const { content_type, frames, fps, duration_seconds } = output.metadata;
    assert.deepEqual([content_type, frames, fps, duration_seconds], ['image/webp', 4, 10, 0.4]);
    assert.equal((await opened(output)).bytes.includes('class_type'), false);
  });

  it('stores every picture of a sequence, and no more than a task may have', async () => {
    const clip = (frames: number) =>
      sampleMp4({ width: 16, height: 16, frames, fps: 8, audio: frames === 5 });
    const done = await run('sequence', { url: sources.file('five.mp4', await clip(5)) });
    assert.equal(done.outputs.length, 5);
    for (const output of done.outputs) assert.equal(output.metadata.format, 'png');
    assert.equal(new Set(done.outputs.map(({ metadata }) => metadata.sha256)).size, 5);
    const six = sources.file('six.mp4', await clip(6));
    const refused = await gateway.until(await gateway.submit({ workflow: 'sequence', url: six }));
    assert.equal(refused.error_code, 'outputs_too_many');
  });
});
