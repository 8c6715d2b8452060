import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { Emulator } from '../src/emulator/emulator.ts';
import { TestGateway } from './support/test-gateway.ts';

describe('a request', () => {
  const cleanup = new AsyncDisposableStack();
  let gateway: TestGateway;
  let host: string;

  before(async () => {
    const emulator = cleanup.use(await Emulator.start());
    gateway = cleanup.use(
      await TestGateway.start({ engine: 'postgres', backends: [emulator.url] }),
    );
    ({ host } = new URL(gateway.url));
  });
  after(() => cleanup.disposeAsync());

  /** All that the gateway says to these bytes until it closes the connection. */
  async function say(bytes: string): Promise<string> {
    const socket = connect(Number(host.split(':')[1]), '127.0.0.1');
    await once(socket, 'connect');
    socket.write(bytes, 'latin1');
    return await text(socket);
  }

  /** `HOST` stands for the gateway's. */
  const lines: [name: string, lines: string, status: number, code?: string][] = [
    ['in absolute form', 'GET http://HOST/health HTTP/1.1', 200],
    ['in absolute form of https', 'GET https://HOST/health HTTP/1.1', 200],
    ['with a name and a password', 'GET http://user:pw@HOST/health HTTP/1.1', 200],
    ['with a name', 'POST http://user@HOST/health HTTP/1.1', 405, 'method_not_allowed'],
    ['in absolute form, in capitals', 'GET HTTP://HOST/health HTTP/1.1', 200],
    ['in absolute form without a path', 'GET http://HOST HTTP/1.1', 200],
    ['whose host is another than Host', 'GET http://evil.example/ HTTP/1.1', 403, 'host_refused'],
    ['in absolute form that is none', 'GET http://[/ HTTP/1.1', 400],
    ['in absolute form without a host', 'GET http:///health HTTP/1.1', 403, 'host_refused'],
    ['of another scheme', 'GET ftp://HOST/health HTTP/1.1', 400, 'invalid_request'],
    ['in asterisk form', 'OPTIONS * HTTP/1.1', 400, 'invalid_request'],
    ['in authority form', 'CONNECT HOST HTTP/1.1', 405],
    ['for nothing', 'GET  HTTP/1.1', 400],
    ['with a fragment', 'GET /health#x HTTP/1.1', 200],
    ['with a backslash', 'GET /a\\b HTTP/1.1', 400, 'invalid_request'],
    ['with two slashes', 'GET //health HTTP/1.1', 404, 'not_found'],
    ['with dots', 'GET /a/../../health HTTP/1.1', 200],
    ['with half an escape', 'GET /tasks/%E0%A4%A HTTP/1.1', 404, 'task_not_found'],
    ['with no UTF-8', 'GET /tasks/%ff HTTP/1.1', 404, 'task_not_found'],
    ['with a NUL', 'GET /tasks/%00 HTTP/1.1', 404, 'task_not_found'],
    ['with a NUL in an object', 'GET /objects/%00 HTTP/1.1', 404, 'object_not_found'],
    ['with bytes of Latin-1', 'GET /tasks/\xe4 HTTP/1.1', 400],
    ['with half an escape in its query', 'GET /workflows?x=%E0%A4%A HTTP/1.1', 200],
    ['that is too long', `GET /${'a'.repeat(20_000)} HTTP/1.1`, 431],
    ['of an unknown method', 'BREW / HTTP/1.1', 400],
    ['to trace', 'TRACE /health HTTP/1.1', 405, 'method_not_allowed'],
    ['of HTTP/9', 'GET / HTTP/9.9', 400],
    ['of TLS', '\x16\x03\x01\x02\x00\x01', 400],
  ];
  for (const [name, line, status, code] of lines) {
    it(`${name} is answered with ${status}`, async () => {
      const answer = await say(
        `${line.replace('HOST', host)}\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
      );
      assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `));
      if (code) assert.match(answer, new RegExp(`"code":"${code}"`));
    });
  }

  const hosts: [name: string, headers: string, status: number][] = [
    ['no Host', '', 400],
    ['an empty Host', 'Host:\r\n', 200],
    ['two Hosts', 'Host: localhost\r\nHost: evil.example\r\n', 400],
    ['a Host with a name and a password', 'Host: user:pw@localhost\r\n', 400],
    ['a Host with a path', 'Host: localhost/a\r\n', 400],
    ['a Host with a port that is none', 'Host: localhost:99999\r\n', 400],
    ['a Host with a blank', 'Host: local host\r\n', 400],
    ['a Host that ends like an address', 'Host: 1.2.3.4.5\r\n', 400],
    ['a Host of brackets', 'Host: [\r\n', 400],
  ];
  for (const [name, headers, status] of hosts) {
    it(`with ${name} is answered with ${status}`, async () => {
      const answer = await say(`GET /workflows HTTP/1.1\r\n${headers}Connection: close\r\n\r\n`);
      assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `));
    });
  }

  it('of a client that sends no more is answered', async () => {
    const socket = connect(Number(host.split(':')[1]), '127.0.0.1');
    socket.end(`GET /workflows HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    assert.match(await text(socket), /^HTTP\/1\.1 200 /);
  });

  it('leaves its connection open longer than a proxy would use it', async () => {
    const { headers } = await gateway.call('GET', '/health');
    assert.equal(headers['keep-alive'], 'timeout=75');
  });

  it('of an old client names no host', async () => {
    assert.match(await say('GET /workflows HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 200 /);
  });

  const deep = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
  const bodies: [name: string, method: 'POST' | 'PUT', path: string, body: string][] = [
    ['a graph to be looked at', 'POST', '/workflows/validate', `{"1":${deep(5_000)}}`],
    ['a graph with its sidecar', 'POST', '/workflows/validate', `{"graph":${deep(100_000)}}`],
    ['a workflow', 'PUT', '/workflows/deep', `{"1":${deep(5_000)}}`],
    ['a task', 'POST', '/tasks', `{"url":"http://a/a.png","inputs":{"a":${deep(5_000)}}}`],
    ['another field of a task', 'POST', '/tasks', `{"url":${deep(100_000)}}`],
    ['an upload', 'POST', '/uploads', deep(5_000)],
    ['a backend', 'POST', '/backends', deep(5_000)],
    ['a managed task', 'POST', '/task-manager/api/v1/tasks', `{"task_name":${deep(5_000)}}`],
  ];
  for (const [name, method, path, body] of bodies) {
    it(`with JSON without end is refused: ${name}`, async () => {
      const { status } = await gateway.call(method, path, body);
      assert.equal(status, 400);
    });
  }
});
