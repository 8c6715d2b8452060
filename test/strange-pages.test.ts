import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import { json } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { bareEnv } from './support/bare-env.ts';
import { patienceMs } from './support/patience.ts';
import { TestGateway } from './support/test-gateway.ts';

interface Asked {
  readonly method?: string;
  readonly host?: string;
  readonly origin?: string;
  readonly body?: string;
  readonly type?: string;
}

/** A request with exactly these headers, as a browser sends them; `host` and `origin` are the page's choice. */
async function ask(url: string, { method = 'GET', host, origin, body, type }: Asked) {
  const headers = {
    ...(host === undefined ? {} : { host }),
    ...(origin === undefined ? {} : { origin }),
    ...(type === undefined ? {} : { 'content-type': type }),
  };
  const outgoing = request(url, { method, headers, agent: false });
  outgoing.end(body);
  const [response] = await once(outgoing, 'response');
  const isJson = /json/.test(response.headers['content-type'] ?? '');
  if (!isJson) response.resume();
  const answer = isJson ? await json(response) : null;
  return { status: response.statusCode as number, body: answer as Record<string, unknown> };
}

describe('a gateway that asks for no key', () => {
  const cleanup = new AsyncDisposableStack();
  let gateway: TestGateway;
  let port: string;

  before(async () => {
    gateway = cleanup.use(
      await TestGateway.start({
        engine: 'postgres',
        backends: [],
        env: {
          PUBLIC_URL: 'https://sr.example.com/gateway',
          ALLOWED_HOSTS: 'gateway.lan,*.example.org,fd00::7',
          CORS_ORIGINS: 'https://app.example.com',
          DIALECT_PORTS: 'upscale:0',
        },
      }),
    );
    ({ port } = new URL(gateway.url));
  });
  after(() => cleanup.disposeAsync());

  const own = [
    ...['localhost', 'LOCALHOST:99', 'app.localhost', 'localhost.', '127.0.0.1', '127.9.8.7:80'],
    ...['[::1]', '[::1]:6008', 'sr.example.com', 'gateway.lan:6008', 'Gateway.LAN', '[fd00::7]:1'],
    ...['a.example.org', 'b.a.example.org'],
  ];
  for (const host of own) {
    it(`answers to ${host}`, async () => {
      assert.equal((await ask(`${gateway.url}/monitor/stats`, { host })).status, 200);
    });
  }

  const strange = [
    ...['evil.example', 'evil.example:6008', 'localhost.evil.example', 'evil-localhost'],
    ...['127.0.0.1.evil.example', 'example.org', 'xexample.org', 'com', '10.0.0.1', '[fd00::8]'],
  ];
  for (const host of strange) {
    it(`refuses ${host}, and names the cures`, async () => {
      const { status, body } = await ask(`${gateway.url}/monitor/stats`, { host });
      assert.equal(status, 403);
      assert.equal(body.code, 'host_refused');
      assert.match(String(body.message), /ALLOWED_HOSTS.*PUBLIC_URL.*API_KEYS/);
    });
  }

  const doors: [name: string, path: string, asked?: Asked][] = [
    ['a task', '/tasks', { method: 'POST', body: '{}', type: 'application/json' }],
    ['a form', '/tasks', { method: 'POST', body: '', type: 'multipart/form-data; boundary=a' }],
    ['a preflight', '/tasks', { method: 'OPTIONS' }],
    ['the pool', '/backends'],
    ['an object', '/objects/a/b.png'],
    ['an upload', '/uploads/f692edeb41cb4a3eaebd2db0044c0778', { method: 'PUT', body: 'x' }],
    ['the reference', '/openapi.json'],
    ['its page', '/docs'],
    ['what is not there', '/nowhere'],
    ['another dialect', '/api/v1/upscale', { method: 'POST' }],
    ['another one at its prefix', '/task-manager/api/v1/task-names'],
    ['its reference', '/uformer/openapi.json'],
  ];
  for (const [name, path, asked] of doors) {
    it(`has no other door: ${name}`, async () => {
      const byName = await ask(`${gateway.url}${path}`, { ...asked, host: `evil.example:${port}` });
      assert.equal(byName.status, 403, JSON.stringify(byName.body));
      const byPage = await ask(`${gateway.url}${path}`, {
        ...asked,
        origin: 'http://evil.example',
      });
      assert.equal(byPage.status, 403, JSON.stringify(byPage.body));
    });
  }

  it('is as careful at the port of a dialect', async () => {
    const url = gateway.dialectUrls.get('upscale');
    const { status, body } = await ask(`${url}/api/v1/models`, { host: 'evil.example' });
    assert.deepEqual([status, body.code], [403, 'host_refused']);
    assert.equal((await ask(`${url}/api/v1/health`, { host: 'evil.example' })).status, 200);
  });

  it('tells anybody that it runs', async () => {
    for (const path of ['/health', '/uformer/health', '/api/v1/health']) {
      const asked = { host: 'evil.example', origin: 'http://evil.example' };
      assert.equal((await ask(`${gateway.url}${path}`, asked)).status, 200, path);
    }
  });

  const pages: [origin: string, host: string, isOurs: boolean][] = [
    ['http://localhost:6008', 'localhost:6008', true],
    ['http://LOCALHOST:6008', 'localhost:6008', true],
    ['http://localhost', 'localhost:80', true],
    ['https://gateway.lan', 'gateway.lan', true],
    ['https://gateway.lan', 'gateway.lan:443', true],
    ['https://sr.example.com', '127.0.0.1:6008', true],
    ['https://app.example.com', 'localhost:6008', true],
    ['http://localhost:3000', 'localhost:6008', false],
    ['http://127.0.0.1:6008', 'localhost:6008', false],
    ['http://app.example.com', 'localhost:6008', false],
    ['https://evil.example', 'localhost:6008', false],
    ['https://sr.example.com.evil.example', 'localhost:6008', false],
    ['null', 'localhost:6008', false],
    ['', 'localhost:6008', false],
    ['file://', 'localhost:6008', false],
  ];
  for (const [origin, host, isOurs] of pages) {
    it(`${isOurs ? 'takes' : 'refuses'} what a page of "${origin}" sends to ${host}`, async () => {
      const asked = { method: 'POST', host, origin };
      const { status, body } = await ask(`${gateway.url}/uploads`, asked);
      assert.equal(status, isOurs ? 201 : 403, JSON.stringify(body));
      if (isOurs)
        return assert.match(String(body.url), /^https:\/\/sr\.example\.com\/gateway\/uploads\//);
      assert.equal(body.code, 'origin_refused');
      assert.match(String(body.message), /CORS_ORIGINS.*API_KEYS/);
    });
  }
});

describe('other gateways', () => {
  it('do not start where anybody could reach them, and name the cures', () => {
    const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
    const env = { ...bareEnv, HOST: '0.0.0.0', PORT: '0', COMFYUI_BACKENDS: 'none' };
    const options = { env, encoding: 'utf8', timeout: patienceMs } as const;
    const { status, stderr } = spawnSync(process.execPath, [main], options);
    assert.equal(status, 1);
    assert.match(
      stderr,
      /^The settings are wrong:\n {2}HOST 0\.0\.0\.0 .*API_KEYS.*ALLOW_ANONYMOUS/,
    );
  });

  it('leave the host and the page alone where they ask for keys', async () => {
    const key = 'alice-secret-0123456789';
    await using gateway = await TestGateway.start({
      engine: 'postgres',
      backends: [],
      env: { API_KEYS: `alice:${key}` },
    });
    const outgoing = request(`${gateway.url}/monitor/stats`, {
      headers: { host: 'any.example', origin: 'https://any.example', 'x-api-key': key },
    });
    outgoing.end();
    const [response] = await once(outgoing, 'response');
    response.resume();
    assert.equal(response.statusCode, 200);
  });

  it('take any page where CORS_ORIGINS says so, and no host for it', async () => {
    await using gateway = await TestGateway.start({
      engine: 'postgres',
      backends: [],
      env: { CORS_ORIGINS: '*' },
    });
    const url = `${gateway.url}/monitor/stats`;
    for (const origin of ['https://any.example', 'null']) {
      assert.equal((await ask(url, { origin })).status, 200);
    }
    assert.equal((await ask(url, { host: 'any.example' })).status, 403);
  });
});
