import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { getCACertificates, setDefaultCACertificates, type TLSSocket } from 'node:tls';
import { samplePng } from '../../test/support/media-samples.ts';
import { sleepGraph } from '../../test/support/test-workflows.ts';
import type { Prompt } from '../core/bind.ts';
import { shortcomings } from '../core/capabilities.ts';
import { GatewayError } from '../core/errors.ts';
import { realTempo, type Tempo } from '../core/tempo.ts';
import { Emulator } from '../emulator/emulator.ts';
import { parseWorkflow } from '../workflows/parse.ts';
import { parseBackendAddress, parseBackendEntry } from './address.ts';
import { ComfyClient, type NewPrompt } from './client.ts';

const { signal } = new AbortController();
const workflowsFolder = new URL('../../workflows/', import.meta.url);

function clientOf(
  { url }: { url: string },
  tempo: Tempo['comfyui'] = realTempo.comfyui,
): ComfyClient {
  return new ComfyClient(parseBackendAddress(url), tempo);
}

/** A server that answers what no ComfyUI does. */
async function listening(server: Server): Promise<AsyncDisposable & { port: number }> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function clientOfAnswer(answer: RequestListener) {
  const parts = new AsyncDisposableStack();
  const { port } = parts.use(await listening(createHttpServer(answer)));
  const client = parts.use(clientOf({ url: `http://127.0.0.1:${port}` }));
  return { client, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}

/** A prompt whose input is on the server. */
async function sleepPrompt(client: ComfyClient, seconds = 0): Promise<Prompt> {
  const folder = await mkdtemp(join(tmpdir(), 'tmlsr-client-'));
  const path = join(folder, 'a.png');
  const png = await samplePng({ width: 8, height: 8 });
  await writeFile(path, png);
  const file = { path, size: png.length, contentType: 'image/png', name: 'a.png', subfolder: 'c' };
  const image = await client.upload(file, signal);
  await rm(folder, { recursive: true });
  const graph = sleepGraph(seconds) as Prompt;
  return { ...graph, '1': { class_type: 'LoadImage', inputs: { image } } };
}

function posted(prompt: Prompt): NewPrompt {
  return { id: randomUUID(), prompt, outputs: ['3'], clientId: 'test' };
}

function isGatewayError(code: string, message: RegExp) {
  return (error: unknown) =>
    error instanceof GatewayError && error.code === code && message.test(error.message);
}

describe('ComfyClient', () => {
  let emulator: Emulator;
  let newer: Emulator;
  let client: ComfyClient;
  let newerClient: ComfyClient;

  before(async () => {
    emulator = await Emulator.start({ maxUploadBytes: 5_000_000 });
    newer = await Emulator.start({ hasJobs: true, withoutNodes: ['VHS_LoadVideo'] });
    client = clientOf(emulator);
    newerClient = clientOf(newer);
  });
  after(async () => {
    for (const part of [client, newerClient, emulator, newer]) await part[Symbol.asyncDispose]();
  });

  it('says where the prompt stands in the server’s count', async () => {
    const prompt = await sleepPrompt(client);
    const first = await client.submit(posted(prompt), signal);
    assert.equal(await client.submit(posted(prompt), signal), first + 1);
  });

  it('minds nothing that is wrong beside the results that are wanted', async () => {
    const preview = { class_type: 'PreviewImage', inputs: {} };
    const prompt = { ...(await sleepPrompt(client)), '9': preview };
    await client.submit(posted(prompt), signal);
    await assert.rejects(
      client.submit({ ...posted(prompt), outputs: ['3', '9'] }, signal),
      isGatewayError('prompt_rejected', /PreviewImage, images: Required input is missing/),
    );
  });

  it('tells a server that lacks something from a prompt that is wrong', async () => {
    const prompt = await sleepPrompt(client);
    const submit = (change: Prompt, to = client) =>
      to.submit(posted({ ...prompt, ...change }), signal);
    const unknown = { '2': { class_type: 'NoSuchNode', inputs: { image: ['1', 0] } } };
    for (const server of [client, newerClient]) {
      await assert.rejects(
        submit(unknown, server),
        isGatewayError('workflow_unsupported', /NoSuchNode/),
      );
    }
    const others = { ...unknown, '7': { class_type: 'NorThisOne', inputs: {} } };
    await assert.rejects(
      submit(others),
      isGatewayError('workflow_unsupported', /no node classes NoSuchNode, NorThisOne$/),
    );
    const scale = { image: ['1', 0], upscale_method: 'magic', width: 8, height: 8, crop: 'center' };
    const _meta = { title: 'my scaler' };
    await assert.rejects(
      submit({ '2': { class_type: 'ImageScale', inputs: scale, _meta } }),
      isGatewayError('workflow_unsupported', /my scaler, upscale_method: Value not in list/),
    );
    await assert.rejects(
      submit({ '2': { class_type: 'ImageScale', inputs: { image: ['1', 0] }, _meta } }),
      isGatewayError('prompt_rejected', /my scaler, width: Required input is missing/),
    );
  });

  it('takes a refusal that is no JSON for a failure', async () => {
    await using odd = await clientOfAnswer((_request, response) => {
      response.writeHead(400).end('<html>Bad Request</html>');
    });
    await assert.rejects(
      odd.client.submit(posted({}), signal),
      isGatewayError('backend_failed', /take the prompt/),
    );
  });

  it('takes no catalogue that is nested without end', async () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    await using odd = await clientOfAnswer((_request, response) => {
      response.end(`{"LoadImage":{"input":{"required":{"image":${deep}}}}}`);
    });
    await assert.rejects(
      odd.client.nodeCatalogue(signal),
      isGatewayError('backend_failed', /list its nodes/),
    );
  });

  it('is not held up by a connection that the server has closed meanwhile', async () => {
    const sockets: Socket[] = [];
    await using odd = await clientOfAnswer((request, response) => {
      sockets.push(request.socket);
      response.end('{"system":{},"devices":[]}');
    });
    await odd.client.describe(signal);
    // A connection is free again in the next turn of the event loop, not in the same.
    await setImmediate();
    await odd.client.describe(signal);
    const [first, second] = sockets;
    assert.ok(first && first === second, 'the connection was not kept');
    first.end();
    await once(first, 'close');
    await odd.client.describe(signal);
    assert.equal(sockets.length, 3);
  });

  it('fails at once, and posts the prompt no second time, when the connection breaks under it', async () => {
    const asked: (string | undefined)[] = [];
    await using odd = await clientOfAnswer((request, response) => {
      asked.push(request.method);
      if (request.method === 'POST') request.socket.destroy();
      else response.end('{"system":{},"devices":[]}');
    });
    await odd.client.describe(signal);
    await assert.rejects(
      odd.client.submit(posted({}), signal),
      isGatewayError('backend_unreachable', /does not answer/),
    );
    await odd.client.describe(signal);
    assert.deepEqual(asked, ['GET', 'POST', 'GET']);
  });

  it('lists the nodes, by which each shipped workflow runs or tells why not', async () => {
    const whole = await client.nodeCatalogue(signal);
    const lesser = await newerClient.nodeCatalogue(signal);
    const files = (await readdir(workflowsFolder)).filter((name) => !name.endsWith('.meta.json'));
    for (const name of files) {
      const text = await readFile(new URL(name, workflowsFolder), 'utf8');
      const workflow = parseWorkflow({ name, text, meta: null }, null);
      assert.deepEqual(shortcomings(workflow, whole), [], name);
      const nodes = Object.values(workflow.graph);
      const usesVhs = nodes.some((node) => node.class_type === 'VHS_LoadVideo');
      const expected = usesVhs ? ['It has no node class VHS_LoadVideo'] : [];
      assert.deepEqual(shortcomings(workflow, lesser), expected, name);
    }
  });

  it('does not take something else’s answer for a server without nodes', async () => {
    const answers = ['{}', '[]', '<html>', '"x"'];
    await using odd = await clientOfAnswer((_request, response) => response.end(answers.shift()));
    while (answers.length > 0) {
      await assert.rejects(
        odd.client.nodeCatalogue(signal),
        isGatewayError('backend_failed', /list its nodes/),
      );
    }
  });

  it('describes the server and its devices', async () => {
    const { version, devices } = await client.describe(signal);
    assert.match(version ?? '', /^0\.33\.0/);
    const [device] = devices;
    assert.match(device?.name ?? '', /^cpu/);
    assert.ok(device && device.memoryTotal > device.memoryFree && device.memoryFree > 0);
  });

  it('has its memory freed', async () => {
    const { freed } = emulator;
    await client.freeMemory(signal);
    assert.equal(emulator.freed, freed + 1);
  });

  it('knows the limit of an upload, where the server tells it', async () => {
    assert.equal(await client.maxUploadBytes(signal), 5_000_000);
    const answers = ['{"max_upload_size": 1572864.5}', '{"supports_preview_metadata": true}'];
    await using odd = await clientOfAnswer((_request, response) => {
      const answer = answers.shift();
      response.writeHead(answer ? 200 : 404).end(answer);
    });
    assert.equal(await odd.client.maxUploadBytes(signal), 1_572_864);
    assert.equal(await odd.client.maxUploadBytes(signal), null);
    assert.equal(await odd.client.maxUploadBytes(signal), null);
  });

  it('finds out whether a server has jobs', async () => {
    assert.equal(await newerClient.hasJobs(signal), true);
    assert.equal(await client.hasJobs(signal), false);
    const answers: [number, string][] = [
      [200, '<html>ComfyUI</html>'],
      [405, 'Method Not Allowed'],
      [502, 'Bad Gateway'],
    ];
    await using odd = await clientOfAnswer((_request, response) => {
      const [status, text] = answers.shift() ?? [500, ''];
      response.writeHead(status).end(text);
    });
    assert.equal(await odd.client.hasJobs(signal), false);
    assert.equal(await odd.client.hasJobs(signal), false);
    await assert.rejects(
      odd.client.hasJobs(signal),
      isGatewayError('backend_failed', /list its jobs/),
    );
  });

  it('cancels a prompt as a job, and says when there was none', async () => {
    const prompt = await sleepPrompt(newerClient, 60);
    const promptId = randomUUID();
    await newerClient.submit({ ...posted(prompt), id: promptId }, signal);
    assert.equal(await newerClient.cancelJob(promptId, signal), true);
    assert.equal(await newerClient.cancelJob(randomUUID(), signal), false);
    assert.equal(await client.cancelJob(randomUUID(), signal), false);
  });

  it('reaches a server by its IP address under the name of its certificate', async () => {
    setDefaultCACertificates([...getCACertificates(), certificate]);
    const seen: unknown[] = [];
    const secure = createHttpsServer({ key, cert: certificate }, (request, response) => {
      seen.push((request.socket as TLSSocket & { servername: string }).servername);
      seen.push(request.headers.host ?? request.headers[':authority']);
      response.end('{"system":{"comfyui_version":"0.33.0"},"devices":[]}');
    });
    await using server = await listening(secure);
    const entry = parseBackendEntry(`dns+https://comfy.example:${server.port}`);
    assert.ok(entry.kind === 'dns');
    await using named = new ComfyClient(entry.at('127.0.0.1'));
    assert.equal((await named.describe(signal)).version, '0.33.0');
    assert.deepEqual(seen, ['comfy.example', `comfy.example:${server.port}`]);
    await using nameless = clientOf({ url: `https://127.0.0.1:${server.port}` });
    await assert.rejects(nameless.describe(signal), isGatewayError('backend_unreachable', /./));
  });

  describe('with a server that drips', () => {
    const drip: RequestListener = (request, response) => {
      request.resume();
      const headers = { 'content-length': 1_000_000 };
      response.writeHead(200, request.method === 'GET' ? headers : {});
      const drops = setInterval(() => response.write(' '), 20);
      response.on('close', () => clearInterval(drops));
    };
    const quick = {
      ...realTempo.comfyui,
      answerDeadlineMs: 150,
      idleDeadlineMs: 150,
      floorDeadlineMs: 200,
    };
    const failed = { code: 'backend_failed' };
    let server: AsyncDisposable & { port: number };
    let dripped: ComfyClient;
    before(async () => {
      server = await listening(createHttpServer(drip));
      dripped = clientOf({ url: `http://127.0.0.1:${server.port}` }, quick);
    });
    after(async () => {
      await dripped[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    });

    it('gives up a result', { timeout: 10_000 }, async () => {
      const file = { node: '1', filename: 'a.png', subfolder: '', type: 'output' } as const;
      const output = await dripped.openOutput(file, null, signal);
      await assert.rejects(output.toArray(), failed);
    });

    it('gives up the answer to an upload', { timeout: 10_000 }, async () => {
      const file = { path: import.meta.filename, size: 1_000, contentType: 'image/png' };
      const input = { ...file, size: (await stat(file.path)).size, name: 'a.png', subfolder: 'c' };
      await assert.rejects(dripped.upload(input, signal), failed);
    });

    it('gives up an input that the server hardly takes', { timeout: 10_000 }, async () => {
      await using parts = new AsyncDisposableStack();
      const deaf = parts.use(await listening(createHttpServer((request) => void request.pause())));
      const client = parts.use(clientOf({ url: `http://127.0.0.1:${deaf.port}` }, quick));
      const folder = await mkdtemp(join(tmpdir(), 'tmlsr-client-'));
      parts.defer(() => rm(folder, { recursive: true }));
      const path = join(folder, 'large');
      const size = 64 * 1024 * 1024;
      await writeFile(path, '');
      await truncate(path, size);
      const input = { path, size, contentType: 'video/mp4', name: 'a.mp4', subfolder: 'c' };
      await assert.rejects(client.upload(input, signal), failed);
    });

    it('gives up any other answer', { timeout: 10_000 }, async () => {
      await assert.rejects(dripped.queue(signal), { code: 'backend_unreachable' });
    });
  });
});

/** Made for this test alone: `comfy.example`, from 2020 to 2120. */
const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgYdPd0h0r6xllaVwo
8Yn9woaz+s0JJ0GAJ5mj2F4fFNihRANCAASEKyOfqaTwXjmNJeHmoBw+QYAOUwfI
lHuWRmwsAzWkMGG4BE9FzCDiSdPVilMj7QEb0qQu3SXi269dk16vAeQ4
-----END PRIVATE KEY-----
`;
const certificate = `-----BEGIN CERTIFICATE-----
MIIBbDCCAROgAwIBAgIBATAKBggqhkjOPQQDAjAYMRYwFAYDVQQDDA1jb21meS5l
eGFtcGxlMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAYMRYwFAYD
VQQDDA1jb21meS5leGFtcGxlMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEhCsj
n6mk8F45jSXh5qAcPkGADlMHyJR7lkZsLAM1pDBhuARPRcwg4knT1YpTI+0BG9Kk
Lt0l4tuvXZNerwHkOKNMMEowGAYDVR0RBBEwD4INY29tZnkuZXhhbXBsZTAPBgNV
HRMBAf8EBTADAQH/MB0GA1UdDgQWBBSafHRCmeMOcyHe2rxW7XEagJLDRjAKBggq
hkjOPQQDAgNHADBEAiBj3qAQ7bYzrFUU3g8uJlaGTpqMOEs7RbVTTWJ4IfC/wwIg
QK7Hl+dFK4SiZGTJQlTuvOTZo7r9EKfPFgnOMW89ccU=
-----END CERTIFICATE-----
`;
