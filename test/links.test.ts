import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { json } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { Emulator } from '../src/emulator/emulator.ts';
import { samplePng } from './support/media-samples.ts';
import { SourceServer } from './support/source-server.ts';
import { TestGateway } from './support/test-gateway.ts';
import { createTestWorkflows } from './support/test-workflows.ts';

const key = 'alice-secret-0123456789';

/** What the gateway on this port answers to whoever asks it by `host`. */
async function ask(port: string, path: string, host: string, body?: object) {
  const method = body ? 'POST' : 'GET';
  const headers = { host, 'x-api-key': key, 'content-type': 'application/json' };
  const outgoing = request(`http://127.0.0.1:${port}${path}`, { method, headers, agent: false });
  outgoing.end(body && JSON.stringify(body));
  const [response] = await once(outgoing, 'response');
  assert.ok(response.statusCode < 300, `${path}: ${response.statusCode}`);
  // biome-ignore lint/suspicious/noExplicitAny: read by tests as JSON is.
  return (await json(response)) as any;
}

describe('the links of a gateway that listens everywhere', () => {
  const cleanup = new AsyncDisposableStack();
  let gateway: TestGateway;
  let port: string;
  let dialectPort: string;
  let id: string;
  let managed: string;

  before(async () => {
    const emulator = cleanup.use(await Emulator.start());
    const sources = cleanup.use(await SourceServer.start());
    const workflows = cleanup.use(await createTestWorkflows(0));
    gateway = cleanup.use(
      await TestGateway.start({
        engine: 'postgres',
        backends: [emulator.url],
        env: {
          HOST: '0.0.0.0',
          ALLOW_ANONYMOUS: 'true',
          ALLOWED_HOSTS: 'gateway.lan',
          SOURCE_ALLOW: sources.host,
          WORKFLOWS_DIR: workflows.folder,
          TASK_NAMES: 'doze=sleep',
          DIALECT_PORTS: 'task-manager:0',
        },
      }),
    );
    ({ port } = new URL(gateway.url));
    dialectPort = new URL(gateway.dialectUrls.get('task-manager') ?? '').port;
    const url = sources.file('a.png', await samplePng({ width: 16, height: 16, seed: 1 }));
    id = await gateway.submit({ url, workflow: 'sleep' });
    const task = { task_name: 'doze', kwargs: { image_url: url } };
    const made = { ...task, sync: true };
    managed = (await ask(dialectPort, '/api/v1/tasks', 'localhost', made)).task_id;
    await gateway.until(id);
  });
  after(() => cleanup.disposeAsync());

  it('lead to where the client came from', async () => {
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, 'gateway.lan', 'localhost']) {
      const { output } = await ask(port, `/tasks/${id}`, host);
      assert.match(output.url, new RegExp(`^http://${host}/objects/`));
      assert.match(output.thumbnail_url, new RegExp(`^http://${host}/objects/`));
      const { tasks } = await ask(port, '/monitor/stats', host);
      assert.ok(tasks.some((each: typeof output) => each.output?.url === output.url));
      const { url } = await ask(port, '/uploads', host, {});
      assert.match(url, new RegExp(`^http://${host}/uploads/`));
    }
  });

  it('lead from the port of a dialect to where the objects are', async () => {
    const own = await ask(dialectPort, `/api/v1/tasks/${managed}`, `localhost:${dialectPort}`);
    const whole = await ask(port, `/task-manager/api/v1/tasks/${managed}`, `localhost:${port}`);
    assert.match(own.result.output_url, new RegExp(`^http://localhost:${port}/objects/`));
    assert.equal(own.result.output_url, whole.result.output_url);
  });

  it('are sources of further tasks, by whatever own name and as they were before', async () => {
    const { output } = await ask(port, `/tasks/${id}`, `localhost:${port}`);
    const { pathname } = new URL(output.url);
    for (const host of [`localhost:${port}`, `0.0.0.0:${port}`, 'gateway.lan']) {
      const next = await gateway.submit({ url: `http://${host}${pathname}`, workflow: 'sleep' });
      assert.equal((await gateway.until(next)).status, 'completed', host);
    }
    const foreign = { url: `http://127.0.0.1:1${pathname}`, workflow: 'sleep' };
    assert.equal((await gateway.call('POST', '/tasks', foreign)).body.code, 'source_refused');
  });
});

describe('the links of a gateway with keys', () => {
  it('lead to where the client came from, by whatever name', async () => {
    const env = { API_KEYS: `alice:${key}` };
    await using gateway = await TestGateway.start({ engine: 'postgres', backends: [], env });
    const { port } = new URL(gateway.url);
    for (const host of ['any.example', 'other.example:80', `127.0.0.1:${port}`]) {
      const { url } = await ask(port, '/uploads', host, {});
      assert.ok(url.startsWith(`http://${host.replace(/:80$/, '')}/uploads/`), url);
    }
  });
});
