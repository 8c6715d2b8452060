import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { inspect } from 'node:util';
import { GatewayError } from '../src/core/errors.ts';
import { realTempo, type Tempo } from '../src/core/tempo.ts';
import { Emulator } from '../src/emulator/emulator.ts';
import { createGuardedAgent } from '../src/media/guarded-agent.ts';
import { parseSourceAllow } from '../src/media/source-policy.ts';
import type { PutOptions } from '../src/storage/object-store.ts';
import { OssStore } from '../src/storage/oss-store.ts';
import { PutTarget } from '../src/storage/put-target.ts';
import { bufferSource, GeneratedSource } from './support/byte-source.ts';
import { LiveMemory } from './support/live-memory.ts';
import { samplePng } from './support/media-samples.ts';
import { OssServer } from './support/oss-server.ts';
import { SourceServer } from './support/source-server.ts';
import { TestGateway } from './support/test-gateway.ts';

interface Received {
  readonly method: string | undefined;
  readonly type: string | undefined;
  readonly length: string | undefined;
  readonly bytes: number;
  readonly sha256: string;
}

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** Takes what is put to it, and answers as it is told. */
class TargetServer implements AsyncDisposable {
  readonly received: Received[] = [];
  answer: Answer = (_, response) => response.end();
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<TargetServer> {
    const server = createServer();
    const target = new TargetServer(server);
    // A request that its client gave up is none.
    server.on('request', (request, response) => target.#serve(request, response).catch(() => {}));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return target;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get url(): string {
    return `http://${this.host}/result.png?signature=secret`;
  }

  status(...statuses: number[]): void {
    this.answer = (_, response) => {
      response.statusCode = statuses.length > 1 ? (statuses.shift() ?? 200) : (statuses[0] ?? 200);
      response.setHeader('location', '/elsewhere');
      response.end();
    };
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const chunk of request) {
      hash.update(chunk);
      bytes += chunk.length;
    }
    const { method, headers } = request;
    const sha256 = hash.digest('hex');
    const [type, length] = [headers['content-type'], headers['content-length']];
    this.received.push({ method, type, length, bytes, sha256 });
    this.answer(request, response);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Takes connections, and reads nothing. */
async function deafServer(): Promise<AsyncDisposable & { readonly host: string }> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    socket.pause();
    sockets.add(socket.on('error', () => {}));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe('PutTarget', () => {
  const mebibyte = 1024 * 1024;
  let server: TargetServer;
  const cleanup = new AsyncDisposableStack();
  before(async () => {
    server = cleanup.use(await TargetServer.start());
  });
  after(() => cleanup.disposeAsync());

  function target(
    url = server.url,
    allow = server.host,
    tempo: Partial<Tempo['target']> = {},
  ): PutTarget {
    server.received.length = 0;
    const agent = createGuardedAgent({
      allow: parseSourceAllow(allow),
      connectDeadlineMs: 500,
      headersDeadlineMs: 0,
      idleDeadlineMs: 1_000,
    });
    cleanup.adopt(agent, (each) => each.destroy());
    return new PutTarget(url, agent, { ...realTempo.target, ...tempo });
  }

  it('sends one PUT of known length and type, in constant memory', async () => {
    server.status(201);
    const source = new GeneratedSource(64 * mebibyte);
    const memory = new LiveMemory();
    let last = 0;
    const stored = await target().put('x.mp4', source, {
      ...putOptions('video/mp4'),
      onProgress: (bytes) => {
        last = bytes;
        memory.passed(bytes);
      },
    });
    const sha256 = source.sha256();
    assert.deepEqual(stored, { key: 'x.mp4', size: source.size, sha256 });
    const bytes = source.size;
    assert.deepEqual(server.received, [
      { method: 'PUT', type: 'video/mp4', length: String(bytes), bytes, sha256 },
    ]);
    assert.equal(last, bytes);
    const grown = memory.grownBytes / mebibyte;
    assert.ok(grown > 0 && grown < 32, `grew by ${grown} MiB`);
  });

  it('repeats without a type what a signature without one refuses', async () => {
    server.answer = (request, response) => {
      response.statusCode = request.headers['content-type'] ? 403 : 200;
      response.end();
    };
    await target().put('x.png', bufferSource('hello'), putOptions());
    assert.deepEqual(
      server.received.map(({ type, bytes }) => [type, bytes]),
      [
        ['image/png', 5],
        [undefined, 5],
      ],
    );
  });

  for (const [status, code] of [
    [403, 'target_refused'],
    [404, 'target_refused'],
    [413, 'target_refused'],
    [302, 'target_refused'],
    [307, 'target_refused'],
    [408, 'target_failed'],
    [429, 'target_failed'],
    [500, 'target_failed'],
    [503, 'target_failed'],
  ] as const) {
    it(`says ${code} of a status ${status}, and nothing of the address`, async () => {
      server.status(status);
      const source = new GeneratedSource(300_000);
      await assert.rejects(target().put('x.png', source, putOptions()), (error: unknown) => {
        assert.ok(error instanceof GatewayError);
        assert.equal(error.code, code);
        assert.doesNotMatch(inspect(error, { depth: 9 }), /signature|127\.0|secret/);
        return true;
      });
      assert.equal(source.openStreams, 0);
      assert.equal(server.received.length, status === 403 ? 2 : 1);
    });
  }

  it('says target_failed where nobody answers, or the connection is cut', async () => {
    server.answer = (request) => request.socket.resetAndDestroy();
    const cut = target().put('x.png', bufferSource('x'), putOptions());
    await assert.rejects(cut, { code: 'target_failed' });
    const closed = target('http://127.0.0.1:1/x?secret', '127.0.0.1');
    await assert.rejects(closed.put('x.png', bufferSource('x'), putOptions()), {
      code: 'target_failed',
    });
  });

  it('does not wait for the end of an answer that drips', { timeout: 10_000 }, async () => {
    server.answer = (_, response) => {
      response.writeHead(200);
      const drops = setInterval(() => response.write('.'), 50);
      response.on('close', () => clearInterval(drops));
    };
    const stored = await target().put('x.png', bufferSource('hello'), putOptions());
    assert.equal(stored.size, 5);
  });

  it('blames the address for what it takes too slowly', { timeout: 10_000 }, async () => {
    const floorDeadlineMs = 200;
    await using deaf = await deafServer();
    const slow = target(`http://${deaf.host}/x`, deaf.host, { floorDeadlineMs });
    const source = new GeneratedSource(64 * mebibyte);
    await assert.rejects(slow.put('x.mp4', source, putOptions()), {
      code: 'target_failed',
      message: 'The address for the result takes it too slowly',
    });
    assert.equal(source.openStreams, 0);
  });

  it('blames it for an answer that does not come', { timeout: 10_000 }, async () => {
    server.answer = () => {};
    const silent = target(server.url, server.host, { requestDeadlineMs: 200 });
    await assert.rejects(silent.put('x.png', bufferSource('x'), putOptions()), {
      code: 'target_failed',
      message: 'The address for the result does not answer in time',
    });
  });

  it('does not blame it for a source that comes too slowly', { timeout: 10_000 }, async () => {
    server.status(200);
    const slow = target(server.url, server.host, { requestDeadlineMs: 200, floorDeadlineMs: 50 });
    const source = new GeneratedSource(300_000, { stallAt: 100_000 });
    await assert.rejects(slow.put('x.png', source, putOptions()), { code: 'output_truncated' });
    assert.equal(source.openStreams, 0);
  });

  it('connects to nothing inside that the operator does not allow', async () => {
    server.status(200);
    const inside = target(server.url, '');
    const put = inside.put('x.png', bufferSource('x'), putOptions());
    await assert.rejects(put, { code: 'target_refused' });
    assert.equal(server.received.length, 0);
  });

  it('passes on what the source throws, and the reason of an abort', async () => {
    server.status(200);
    const breaksWith = new GatewayError('backend_unreachable', 'The server is gone');
    const broken = new GeneratedSource(300_000, { breakAt: 100_000, breaksWith });
    await assert.rejects(target().put('x.png', broken, putOptions()), breaksWith);
    const short = new GeneratedSource(300_000, { breakAt: 299_999 });
    await assert.rejects(target().put('x.png', short, putOptions()), { code: 'output_truncated' });
    const reason = new Error('canceled');
    const abort = new AbortController();
    setTimeout(() => abort.abort(reason), 100);
    const stalled = new GeneratedSource(300_000, { stallAt: 100_000 });
    const options = { ...putOptions(), signal: abort.signal };
    await assert.rejects(target().put('x.png', stalled, options), reason);
    assert.equal(broken.openStreams + short.openStreams + stalled.openStreams, 0);
  });
});

describe('a task with a target_url', () => {
  const cleanup = new AsyncDisposableStack();
  let emulator: Emulator;
  let target: TargetServer;
  let oss: OssServer;
  let presigner: OssStore;
  let gateway: TestGateway;
  let url: string;

  before(async () => {
    emulator = cleanup.use(await Emulator.start());
    target = cleanup.use(await TargetServer.start());
    oss = cleanup.use(await OssServer.start());
    const { region, accessKeyId, accessKeySecret } = oss.credentials;
    const bucket = oss.bucketName;
    presigner = cleanup.use(
      new OssStore({ region, bucket, accessKeyId, accessKeySecret, endpoint: oss.url }),
    );
    const sources = cleanup.use(await SourceServer.start());
    url = sources.file('a.png', await samplePng({ width: 32, height: 24, seed: 1 }));
    gateway = cleanup.use(
      await TestGateway.start({
        engine: 'postgres',
        backends: [emulator.url],
        env: {
          SOURCE_ALLOW: sources.host,
          TARGET_ALLOW: `${target.host},${new URL(oss.url).host}`,
        },
      }),
    );
  });
  after(() => cleanup.disposeAsync());

  it('has its result put there, and tells the address without its query', async () => {
    const presigned = await presigner.presignPut('client/result.png', 'image/png', 600);
    assert.ok(presigned.url.includes('x-oss-signature='));
    const id = await gateway.submit({ url, type: 'image', target_url: presigned.url });
    const task = await gateway.until(id);
    assert.equal(task.status, 'completed', task.error ?? '');
    const [address] = presigned.url.split('?');
    assert.equal(task.output?.url, address);
    const object = oss.bucket.objects.get('client/result.png');
    assert.equal(object?.size, task.output?.metadata.size_bytes);
    assert.ok(object);
    assert.equal(await oss.bucket.sha256(object), task.output?.metadata.sha256);
    assert.equal(object?.contentType, 'image/png');
    assert.deepEqual(task.params.target_url, address);
    assert.doesNotMatch(JSON.stringify(task), /signature/);
  });

  it('gets through a target that fails for a while, with one run on the GPU', async () => {
    const before = emulator.runs.length;
    target.received.length = 0;
    target.status(503, 429, 200);
    const id = await gateway.submit({ url, type: 'image', target_url: target.url });
    const task = await gateway.until(id);
    assert.equal(task.status, 'completed', task.error ?? '');
    assert.equal(target.received.length, 3);
    assert.equal(emulator.runs.length - before, 1);
  });

  it('fails at once where its target refuses', async () => {
    const before = emulator.runs.length;
    target.received.length = 0;
    target.status(410);
    const id = await gateway.submit({ url, type: 'image', target_url: target.url });
    const task = await gateway.until(id);
    assert.equal(task.status, 'failed');
    assert.equal(task.error_code, 'target_refused');
    assert.equal(task.retries, 0);
    assert.equal(target.received.length, 1);
    assert.equal(emulator.runs.length - before, 1);
  });

  it('is refused at the door for an address that is not allowed', async () => {
    for (const bad of ['http://127.0.0.1:1/x', 'http://169.254.169.254/x', 'ftp://a.test/x', 'x']) {
      const { status, body } = await gateway.call('POST', '/tasks', {
        url,
        type: 'image',
        target_url: bad,
      });
      assert.equal(status, 400, bad);
      assert.match(JSON.stringify(body), /target_refused|address for the result/);
    }
  });
});

function putOptions(contentType = 'image/png'): PutOptions {
  return { contentType, signal: new AbortController().signal };
}
