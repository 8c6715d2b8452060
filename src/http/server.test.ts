import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, describe, it } from 'node:test';
import { pino } from 'pino';
import { WebSocket, WebSocketServer } from 'ws';
import { callersOf, openDoors } from '../../test/support/callers.ts';
import { absentParts } from '../../test/support/dialect-parts.ts';
import { eventually } from '../../test/support/eventually.ts';
import type { Scope } from '../core/caller.ts';
import { GatewayError } from '../core/errors.ts';
import { type Apps, createApps } from './app.ts';
import type { Callers } from './auth.ts';
import type { Dialect } from './dialect.ts';
import { presentError } from './errors.ts';
import { createRoutes } from './openapi.ts';
import { pageGuard, type RefusePage } from './own-pages.ts';
import { createServer } from './server.ts';
import type { FindUpgrade } from './upgrade.ts';

const key = 'alice';
const headers = { 'x-api-key': key };

describe('a server', () => {
  const cleanup: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const end of cleanup.splice(0)) await end();
  });

  /** With two dialects: `main` takes no WebSockets, `talk` those of its upgrade. */
  async function serve(
    findUpgrade: FindUpgrade,
    pick: (apps: Apps) => Apps['root'] | undefined,
    refusePage: RefusePage = () => null,
    callers: Callers = callersOf({ [key]: ['tasks:read'], bob: ['tasks:write'] }),
  ) {
    const apps = createApps(
      absentParts(),
      {
        callers,
        corsOrigins: [],
        refusePage,
        doors: openDoors,
        settings: {},
        logger: pino({ level: 'silent' }),
      },
      [dialect('main'), dialect('talk', findUpgrade)],
    );
    const app = pick(apps);
    assert.ok(app);
    const { server, cut } = createServer(app, {}, pino({ level: 'silent' }));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    cleanup.push(async () => {
      const closed = once(server, 'close');
      server.close();
      cut();
      await closed;
    });
    return (server.address() as AddressInfo).port;
  }

  const root = ({ root }: Apps) => root;
  const wss = new WebSocketServer({ noServer: true });
  const greet: FindUpgrade = ({ request, path, caller }) =>
    path === '/ws'
      ? (socket, head) => wss.handleUpgrade(request, socket, head, (ws) => ws.send(caller.tenant))
      : null;

  async function greeting(url: string): Promise<string> {
    const client = new WebSocket(url, { headers });
    const [data] = await once(client, 'message');
    client.terminate();
    return String(data);
  }

  /** The connection of a client that asks for a WebSocket. */
  function asking(port: number, path: string, more = '') {
    const socket = connect(port, '127.0.0.1');
    socket.write(
      `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${more}\r\n`,
    );
    return socket;
  }

  /** All that the server says until it closes the connection. */
  const handshake = (port: number, path: string, more?: string) => text(asking(port, path, more));

  it('lets a dialect make a WebSocket of a connection, wherever it is', async () => {
    const whole = await serve(greet, root);
    const own = await serve(greet, ({ byDialect }) => byDialect.get('talk'));
    for (const url of [`${whole}/ws`, `${whole}/talk/ws`, `${own}/ws`, `${own}/talk/ws?x=1`]) {
      assert.equal(await greeting(`ws://127.0.0.1:${url}`), 'alice');
    }
  });

  it('answers one that nobody takes in the words of its dialect, and closes', async () => {
    const port = await serve(greet, root);
    for (const path of ['/nowhere', '/main/ws', '/talk/ws/deeper']) {
      const answer = await handshake(port, path, `X-API-Key: ${key}\r\n`);
      assert.match(answer, /^HTTP\/1\.1 404 /, path);
      assert.match(answer, /"code":"not_found"/);
      assert.match(answer, /^connection: close\r$/im);
    }
  });

  it('asks for a key', async () => {
    const port = await serve(greet, root);
    const answer = await handshake(port, '/talk/ws');
    assert.match(answer, /^HTTP\/1\.1 401 /);
    assert.match(answer, /"code":"unauthorized"/);
  });

  it('takes none whose key lacks the scope', async () => {
    const port = await serve(greet, root);
    const answer = await handshake(port, '/talk/ws', 'X-API-Key: bob\r\n');
    assert.match(answer, /^HTTP\/1\.1 404 /);
  });

  it('asks for a page that may', async () => {
    const hosts = { has: (host: string) => host === 'a' };
    const asksForKeys = () => false;
    const guard = pageGuard({ hosts, publicUrl: null, corsOrigins: [], asksForKeys });
    const port = await serve(greet, root, guard);
    const strange = `X-API-Key: ${key}\r\nOrigin: http://b\r\n`;
    const answer = await handshake(port, '/talk/ws', strange);
    assert.match(answer, /^HTTP\/1\.1 403 /);
    assert.match(answer, /"code":"origin_refused"/);
    const absolute = await handshake(port, 'http://b/talk/ws', `X-API-Key: ${key}\r\n`);
    assert.match(absolute, /"code":"host_refused"/);
    const own = asking(port, '/talk/ws', `X-API-Key: ${key}\r\nOrigin: http://a\r\n`);
    const [first] = await once(own, 'data');
    assert.match(String(first), /^HTTP\/1\.1 101 /);
    own.destroy();
  });

  it('answers a request for another protocol as if it asked for none', async () => {
    const port = await serve(greet, root);
    const socket = connect(port, '127.0.0.1');
    socket.write(
      'GET /openapi.json HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n',
    );
    assert.match(await text(socket), /^HTTP\/1\.1 200 /);
  });

  it('outlives a dialect that throws, and a connection that breaks', async () => {
    const broken: FindUpgrade = ({ path }) => {
      if (path === '/find') throw new Error('found nothing');
      return async (socket) => {
        if (path === '/throw') throw new Error('taken badly');
        socket.emit('error', new Error('broken'));
      };
    };
    const port = await serve(broken, root);
    const keyed = `X-API-Key: ${key}\r\n`;
    assert.match(await handshake(port, '/talk/find', keyed), /^HTTP\/1\.1 404 /);
    assert.equal(await handshake(port, '/talk/throw', keyed), '');
    assert.equal(await handshake(port, '/talk/break', keyed), '');
  });

  for (const { end, scopes } of [
    { end: 'is revoked', scopes: undefined },
    { end: 'loses the scope', scopes: ['tasks:write'] },
  ] satisfies { end: string; scopes: Scope[] | undefined }[]) {
    it(`cuts a WebSocket soon after its key ${end}, and leaves others`, async () => {
      const keys: Record<string, Scope[]> = { [key]: ['tasks:read'], carol: ['tasks:read'] };
      const port = await serve(greet, root, undefined, callersOf(keys));
      const open = async (who: string) => {
        const headers = { 'x-api-key': who };
        const client = new WebSocket(`ws://127.0.0.1:${port}/ws`, { headers });
        await once(client, 'message');
        return client;
      };
      const [client, other] = [await open(key), await open('carol')];
      const closed = once(client, 'close');
      if (scopes) keys[key] = scopes;
      else delete keys[key];
      await closed;
      assert.equal(other.readyState, WebSocket.OPEN);
      other.terminate();
    });
  }

  it('keeps a WebSocket while nobody can tell whether its key is good', async () => {
    const { now } = callersOf({ [key]: ['tasks:read'] });
    let asked = 0;
    const find = async () => {
      asked += 1;
      throw new GatewayError('unavailable', 'The database is away');
    };
    const port = await serve(greet, root, undefined, { now, find });
    const client = new WebSocket(`ws://127.0.0.1:${port}/ws`, { headers });
    await once(client, 'message');
    await eventually(() => assert.ok(asked >= 2));
    assert.equal(client.readyState, WebSocket.OPEN);
    client.terminate();
  });

  it('cuts the WebSockets that are left when it is closed', async () => {
    const port = await serve(greet, root);
    const client = new WebSocket(`ws://127.0.0.1:${port}/ws`, { headers });
    await once(client, 'message');
    const closed = once(client, 'close');
    for (const end of cleanup.splice(0)) await end();
    await closed;
  });
});

function dialect(name: string, find?: FindUpgrade): Dialect {
  return {
    name,
    prefix: `/${name}`,
    title: name,
    description: '',
    documentsAt: '',
    maxBodyBytes: 1024,
    presentError,
    create: () => ({
      routes: createRoutes(),
      ...(find ? { upgrades: { scope: 'tasks:read', find } } : {}),
    }),
  };
}
