import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { LiveMemory } from '../../test/support/live-memory.ts';
import { SourceServer } from '../../test/support/source-server.ts';
import { type FetchOptions, SourceFetcher, type SourceFetcherOptions } from './fetch-source.ts';
import type { FetchedSource } from './source-file.ts';
import { parseSourceAllow } from './source-policy.ts';

const maxBytes = 1_000_000;
const bytes = randomBytes(300_000);
const allow = parseSourceAllow('127.0.0.1');
const deadlines = {
  connectDeadlineMs: 30_000,
  headersDeadlineMs: 30_000,
  idleDeadlineMs: 30_000,
  totalDeadlineMs: 60_000,
  floorDeadlineMs: 60_000,
  busyPauseMs: 20,
  longestBusyPauseMs: 1_000,
  minBytesPerSecond: 10_000,
};

let server: SourceServer;
let folder = '';
let path = '';

before(async () => {
  server = await SourceServer.start();
  folder = await mkdtemp(join(tmpdir(), 'tmlsr-fetch-'));
  path = join(folder, 'source');
});

after(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

afterEach(async () => {
  await rm(path, { force: true });
});

async function fetchSource(
  url: string,
  options: Partial<FetchOptions> = {},
  settings: Partial<SourceFetcherOptions> = {},
): Promise<FetchedSource> {
  await using fetcher = new SourceFetcher({
    allow,
    maxBytes,
    ...settings,
    deadlines: { ...deadlines, ...settings.deadlines },
  });
  const { signal } = new AbortController();
  const wanted = { onProgress: () => {}, wantsSha256: true, signal };
  return await fetcher.fetch(url, path, { ...wanted, ...options });
}

/** The failure has the code, tells nothing of the network, and leaves no file. */
async function assertFails(
  url: string,
  code: string,
  settings: Partial<SourceFetcherOptions> = {},
): Promise<void> {
  await assert.rejects(fetchSource(url, {}, settings), (error: Error & { code: string }) => {
    assert.equal(error.code, code, `${error.code}: ${error.message} (${error.cause})`);
    assert.doesNotMatch(error.message, /127\.0\.0\.1|localhost|ECONN|UND_ERR|HPE_/);
    return true;
  });
  assert.deepEqual(await readdir(folder), []);
}

async function assertWhole(result: FetchedSource): Promise<void> {
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  assert.deepEqual(result, { bytes: bytes.length, sha256 });
  assert.ok((await readFile(path)).equals(bytes));
}

/** A server below HTTP: it answers with whatever bytes it likes. */
async function rawServer(
  answer: (socket: Socket) => void,
): Promise<AsyncDisposable & { url: string }> {
  const sockets = new Set<Socket>();
  const raw = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', () => answer(socket));
  }).listen(0, '127.0.0.1');
  await once(raw, 'listening');
  return {
    url: `http://127.0.0.1:${(raw.address() as AddressInfo).port}/`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      raw.close();
      await once(raw, 'close');
    },
  };
}

test('streams a source into the file, with its digest and its progress', async () => {
  const seen: [number, number | null][] = [];
  const onProgress = (received: number, total: number | null) => seen.push([received, total]);
  await assertWhole(await fetchSource(server.file('whole', bytes), { onProgress }));
  assert.deepEqual(seen.at(-1), [bytes.length, bytes.length]);
  assert.ok(seen.every(([received], i) => i === 0 || received > (seen[i - 1]?.[0] ?? 0)));
});

test('asks plainly: no compression, no credentials, no referrer', async () => {
  let headers: IncomingMessage['headers'] = {};
  const url = server.answer('headers', (request, response) => {
    headers = request.headers;
    response.end('x');
  });
  await fetchSource(`${url}#fragment`);
  assert.equal(headers['accept-encoding'], 'identity');
  for (const name of ['authorization', 'cookie', 'referer', 'range']) assert.ok(!(name in headers));
});

test('takes a chunked body, whose length nobody tells', async () => {
  const totals = new Set<number | null>();
  const url = server.answer('chunked', (_request, response) => {
    response.write(bytes.subarray(0, 1_000));
    response.end(bytes.subarray(1_000));
  });
  await assertWhole(await fetchSource(url, { onProgress: (_, total) => totals.add(total) }));
  assert.deepEqual([...totals], [null]);
});

test('follows five redirects, relative ones too, and not a sixth', async () => {
  server.file('end', bytes);
  const statuses = [301, 302, 303, 307, 308, 302];
  for (const [i, status] of statuses.entries()) {
    server.answer(`hop${i}`, (_request, response) => {
      const location =
        i === 0 ? 'end' : i % 2 ? `/hop${i - 1}` : `http://${server.host}/hop${i - 1}`;
      response.writeHead(status, { location }).end('moved');
    });
  }
  await assertWhole(await fetchSource(`http://${server.host}/hop4`));
  await rm(path);
  await assertFails(`http://${server.host}/hop5`, 'source_failed');
});

test('gives up a redirect that leads in circles or nowhere', async () => {
  const loop = server.answer('loop', (_request, response) => {
    response.writeHead(302, { location: '/loop' }).end();
  });
  await assertFails(loop, 'source_failed');
  const nowhere = server.answer('nowhere', (_request, response) => response.writeHead(302).end());
  await assertFails(nowhere, 'source_failed');
  const choices = server.answer('choices', (_request, response) => response.writeHead(304).end());
  await assertFails(choices, 'source_failed');
});

test('follows a redirect whose address is written in UTF-8 as it is', async () => {
  server.answer('图 ü', (_request, response) => response.end(bytes));
  await using raw = await rawServer((socket) => {
    const location = Buffer.from(`http://${server.host}/图%20ü`);
    socket.end(
      Buffer.concat([
        Buffer.from('HTTP/1.1 302 Found\r\nLocation: '),
        location,
        Buffer.from('\r\n\r\n'),
      ]),
    );
  });
  await assertWhole(await fetchSource(raw.url));
});

test('asks a busy server again, when it says, and not for ever', async () => {
  const asked: Record<string, number> = {};
  const busy = (name: string, answers: readonly [status: number, retryAfter?: string][]) =>
    server.answer(name, (_request, response) => {
      const turn = asked[name] ?? 0;
      asked[name] = turn + 1;
      const [status, retryAfter] = answers[turn] ?? [200];
      if (retryAfter !== undefined) response.setHeader('retry-after', retryAfter);
      response.writeHead(status).end(status === 200 ? bytes : 'busy');
    });
  const soon = new Date(Date.now() - 1_000).toUTCString();
  await assertWhole(await fetchSource(busy('soon', [[429, '0'], [503, soon], [503]])));
  await rm(path);
  await assertFails(busy('for-long', [[429, '86400']]), 'source_failed');
  const always = Array.from({ length: 9 }, (): [number] => [503]);
  await assertFails(busy('always', always), 'source_failed');
  await assertFails(busy('broken', [[500]]), 'source_failed');
  assert.deepEqual(asked, { soon: 4, 'for-long': 1, always: 4, broken: 1 });
});

test('tells by the status what is wrong', async () => {
  const codes = {
    401: 'source_denied',
    403: 'source_denied',
    404: 'source_not_found',
    410: 'source_not_found',
    204: 'source_failed',
    206: 'source_failed',
    418: 'source_failed',
    429: 'source_failed',
    500: 'source_failed',
    503: 'source_failed',
  };
  for (const [status, code] of Object.entries(codes)) {
    const url = server.answer(status, (_request, response) => {
      response.writeHead(Number(status)).end(status === '204' ? undefined : 'an error page');
    });
    await assertFails(url, code);
  }
});

test('refuses an empty body', async () => {
  await assertFails(server.file('empty', Buffer.alloc(0)), 'source_empty');
  const chunked = server.answer('empty-chunked', (_request, response) => response.end());
  await assertFails(chunked, 'source_empty');
});

test('refuses a length above the cap before it reads the body', async () => {
  let sent = 0;
  const url = server.answer('huge', (_request, response) => {
    response.writeHead(200, { 'content-length': maxBytes + 1 });
    response.flushHeaders();
    response.on('drain', () => {
      sent += 1;
    });
  });
  await assertFails(url, 'source_too_large');
  assert.equal(sent, 0);
});

test('takes a source that is exactly as large as the cap', async () => {
  await assertWhole(await fetchSource(server.file('exact', bytes), {}, { maxBytes: bytes.length }));
  await rm(path);
  await assertFails(server.file('exact', bytes), 'source_too_large', {
    maxBytes: bytes.length - 1,
  });
});

test('stops an endless body at the cap', async () => {
  let isCut = false;
  const url = server.answer('endless', (_request, response) => {
    const more = setInterval(() => response.write(bytes), 1);
    response.on('close', () => {
      clearInterval(more);
      isCut = true;
    });
  });
  await assertFails(url, 'source_too_large');
  await delay(50);
  assert.ok(isCut, 'the connection stayed open');
});

test('finds a body shorter than its length, and takes no more than its length', async () => {
  await using short = await rawServer((socket) => {
    socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot so long');
  });
  await assertFails(short.url, 'source_interrupted');
  await using long = await rawServer((socket) => {
    socket.end('HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n1234 and more');
  });
  // What comes after the length is no part of the answer (RFC 9112 §6.2).
  const outcome = await fetchSource(long.url).catch((error) => error.code);
  assert.ok(outcome === 'source_failed' || outcome.bytes === 4, JSON.stringify(outcome));
});

test('finds a chunked body that breaks off', async () => {
  await using raw = await rawServer((socket) => {
    socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
  });
  await assertFails(raw.url, 'source_interrupted');
  await using closing = await rawServer((socket) => {
    const headers = 'Transfer-Encoding: chunked\r\nConnection: close';
    socket.end(`HTTP/1.1 200 OK\r\n${headers}\r\n\r\n5\r\nhello\r\n`);
  });
  await assertFails(closing.url, 'source_interrupted');
});

test('refuses a compressed body', async () => {
  const bomb = gzipSync(Buffer.alloc(10_000_000));
  for (const encoding of ['gzip', 'br', 'identity, gzip']) {
    const url = server.answer('bomb', (_request, response) => {
      response.writeHead(200, { 'content-encoding': encoding }).end(bomb);
    });
    await assertFails(url, 'source_failed');
  }
});

test('gives up a server that never finishes its headers', async () => {
  await using raw = await rawServer((socket) => {
    socket.write('HTTP/1.1 200 OK\r\n');
    const drip = setInterval(() => socket.write('x-slow: 1\r\n'), 50);
    socket.on('close', () => clearInterval(drip));
  });
  const startedAt = performance.now();
  await assertFails(raw.url, 'source_timeout', { deadlines: { headersDeadlineMs: 300 } });
  assert.ok(performance.now() - startedAt < 20_000);
});

test('gives up a server that says nothing', async () => {
  await using raw = await rawServer(() => {});
  await assertFails(raw.url, 'source_timeout', { deadlines: { headersDeadlineMs: 300 } });
});

test('gives up a body that stalls', async () => {
  const url = server.answer('stall', (_request, response) => {
    response.writeHead(200, { 'content-length': 1_000 }).write('some');
  });
  await assertFails(url, 'source_timeout', { deadlines: { idleDeadlineMs: 300 } });
});

test('gives up a body that only drips', async () => {
  const url = server.answer('drip', (_request, response) => {
    const drip = setInterval(() => response.write('x'), 20);
    response.on('close', () => clearInterval(drip));
  });
  await assertFails(url, 'source_timeout', { deadlines: { floorDeadlineMs: 400 } });
});

test('gives up at the deadline for everything', async () => {
  const url = server.answer('long', (_request, response) => {
    const drip = setInterval(() => response.write(bytes.subarray(0, 1_000)), 20);
    response.on('close', () => clearInterval(drip));
  });
  await assertFails(url, 'source_timeout', { deadlines: { totalDeadlineMs: 400 } });
});

interface Resumable {
  readonly etag?: string;
  /** What a second and later answer is, from the start that was asked for. */
  readonly again: (start: number, request: IncomingMessage, response: ServerResponse) => void;
}

/** Breaks off at 99 %, and then answers as it is told. */
function breaking(name: string, { etag, again }: Resumable): string {
  return server.answer(name, (request, response) => {
    const start = /^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1];
    if (start !== undefined) return again(Number(start), request, response);
    response.writeHead(200, { 'content-length': bytes.length, ...(etag ? { etag } : {}) });
    response.write(bytes.subarray(0, bytes.length * 0.99), () => {
      setTimeout(() => response.destroy(), 20);
    });
  });
}

function partial(start: number, end: number, headers: Record<string, string>) {
  return { 'content-range': `bytes ${start}-${end - 1}/${bytes.length}`, ...headers };
}

test('takes up a transfer that broke off at 99 %', async () => {
  const seen: number[] = [];
  const url = breaking('resumed', {
    etag: '"one"',
    again: (start, request, response) => {
      assert.equal(request.headers['if-range'], '"one"');
      response.writeHead(206, partial(start, bytes.length, { etag: '"one"' }));
      response.end(bytes.subarray(start));
    },
  });
  await assertWhole(await fetchSource(url, { onProgress: (received) => seen.push(received) }));
  assert.ok(seen.every((received, i) => i === 0 || received > (seen[i - 1] ?? 0)));
});

test('takes it up again when the rest breaks off too, but not for ever', async () => {
  let resumes = 0;
  const crumbs = (step: number) =>
    breaking('crumbs', {
      etag: '"one"',
      again: (start, _request, response) => {
        resumes += 1;
        response.writeHead(206, {
          ...partial(start, bytes.length, { etag: '"one"' }),
          'content-length': bytes.length - start,
        });
        response.write(bytes.subarray(start, start + step), () => {
          setTimeout(() => response.destroy(), 20);
        });
      },
    });
  await assertWhole(await fetchSource(crumbs(1_000)));
  assert.equal(resumes, 3);
  await rm(path);
  await assertFails(crumbs(10), 'source_interrupted');
});

test('does not take up a source whose identity nobody vouches for', async () => {
  for (const etag of [undefined, 'W/"weak"']) {
    let resumes = 0;
    const url = breaking('unvouched', {
      ...(etag ? { etag } : {}),
      again: (_start, _request, response) => {
        resumes += 1;
        response.end();
      },
    });
    await assertFails(url, 'source_interrupted');
    assert.equal(resumes, 0);
  }
});

test('never joins halves of different sources', async () => {
  const other = randomBytes(bytes.length);
  const answers: Record<string, Resumable['again']> = {
    'ignores the range': (_start, _request, response) => {
      response.writeHead(200, { etag: '"one"' }).end(bytes);
    },
    'has another version': (_start, _request, response) => {
      response.writeHead(200, { etag: '"two"' }).end(other);
    },
    'sends a part of another version': (start, _request, response) => {
      response.writeHead(206, partial(start, bytes.length, { etag: '"two"' }));
      response.end(other.subarray(start));
    },
    'sends another part': (start, _request, response) => {
      response.writeHead(206, partial(start + 1, bytes.length, { etag: '"one"' }));
      response.end(bytes.subarray(start + 1));
    },
    'does not say which part': (start, _request, response) => {
      response.writeHead(206, { etag: '"one"' }).end(bytes.subarray(start));
    },
    'is of another length': (start, _request, response) => {
      response.writeHead(206, {
        'content-range': `bytes ${start}-${bytes.length}/${bytes.length + 1}`,
        etag: '"one"',
      });
      response.end(Buffer.concat([bytes.subarray(start), Buffer.from('x')]));
    },
    'sends more than the rest': (start, _request, response) => {
      response.writeHead(206, partial(start, bytes.length, { etag: '"one"' }));
      response.end(Buffer.concat([bytes.subarray(start), Buffer.from('more')]));
    },
  };
  for (const [name, again] of Object.entries(answers)) {
    await assertFails(breaking(name, { etag: '"one"', again }), 'source_interrupted');
  }
});

test('says what the server says when the rest is not there any more', async () => {
  const url = breaking('gone', {
    etag: '"one"',
    again: (_start, _request, response) => response.writeHead(404).end(),
  });
  await assertFails(url, 'source_not_found');
});

test('finds nobody at the address', async () => {
  const closed = createServer().listen(0, '127.0.0.1');
  await once(closed, 'listening');
  const { port } = closed.address() as AddressInfo;
  closed.close();
  await once(closed, 'close');
  await assertFails(`http://127.0.0.1:${port}/`, 'source_unreachable');
});

test('finds no address for the name', async () => {
  for (const code of ['ENOTFOUND', 'EAI_AGAIN']) {
    const lookup = (_host: string, _options: unknown, callback: (error: Error) => void) =>
      callback(Object.assign(new Error(`getaddrinfo ${code}`), { code }));
    await assertFails('http://nobody.example/', 'source_unreachable', {
      lookup: lookup as unknown as NonNullable<SourceFetcherOptions['lookup']>,
    });
  }
  const lookup = (_host: string, _options: unknown, callback: (error: null, found: []) => void) =>
    callback(null, []);
  await assertFails('http://nobody.example/', 'source_unreachable', {
    lookup: lookup as unknown as NonNullable<SourceFetcherOptions['lookup']>,
  });
});

test('finds a resolver that does not answer', async () => {
  await assertFails('http://nobody.example/', 'source_timeout', {
    lookup: (() => {}) as unknown as NonNullable<SourceFetcherOptions['lookup']>,
    deadlines: { connectDeadlineMs: 300 },
  });
});

test('finds a server that does not speak HTTP', async () => {
  for (const answer of ['SSH-2.0-OpenSSH_9.6\r\n', '\0\x01\x02', 'HTTP/1.1 abc\r\n\r\n']) {
    await using raw = await rawServer((socket) => socket.end(answer));
    await assertFails(raw.url, 'source_failed');
  }
  await using plain = await rawServer((socket) => socket.end('no TLS here'));
  await assertFails(plain.url.replace('http:', 'https:'), 'source_unreachable');
  const header = `x-big: ${'x'.repeat(100_000)}`;
  await using big = await rawServer((socket) => socket.end(`HTTP/1.1 200 OK\r\n${header}\r\n\r\n`));
  await assertFails(big.url, 'source_failed');
});

test('finds a server that hangs up', async () => {
  await using raw = await rawServer((socket) => socket.destroy());
  await assertFails(raw.url, 'source_interrupted');
  await using reset = await rawServer((socket) => socket.resetAndDestroy());
  await assertFails(reset.url, 'source_interrupted');
});

test("stops with the caller's reason, wherever it is", async () => {
  const silent = server.answer('silent', () => {});
  const endless = server.answer('stalled', (_request, response) => {
    response.writeHead(200, { 'content-length': 1_000 }).write('some');
  });
  for (const url of [silent, endless]) {
    const caller = new AbortController();
    const reason = new Error('The task was canceled');
    setTimeout(() => caller.abort(reason), 100);
    await assert.rejects(fetchSource(url, { signal: caller.signal }), reason);
    assert.deepEqual(await readdir(folder), []);
  }
  const reason = new Error('before it began');
  const fetching = fetchSource(silent, { signal: AbortSignal.abort(reason) });
  await assert.rejects(fetching, reason);
  assert.deepEqual(await readdir(folder), []);
});

test('stops when it is disposed', async () => {
  const fetcher = new SourceFetcher({ allow, maxBytes, deadlines });
  const url = server.answer('held', () => {});
  const options = { onProgress: () => {}, signal: new AbortController().signal };
  const fetching = assert.rejects(fetcher.fetch(url, path, options));
  await delay(50);
  await fetcher[Symbol.asyncDispose]();
  await fetching;
  assert.deepEqual(await readdir(folder), []);
});

test('blames no source for what is wrong with the disk', async () => {
  await writeFile(path, 'of another');
  const url = server.file('fine', bytes);
  await assert.rejects(fetchSource(url), { code: 'EEXIST' });
  assert.equal(await readFile(path, 'utf8'), 'of another');
});

test('fetches many at once from one server', async () => {
  await using fetcher = new SourceFetcher({ allow, maxBytes, deadlines });
  const url = server.file('many', bytes);
  const { signal } = new AbortController();
  const options = { onProgress: () => {}, wantsSha256: true, signal };
  const paths = Array.from({ length: 20 }, (_, i) => join(folder, `many-${i}`));
  const results = await Promise.all(paths.map((each) => fetcher.fetch(url, each, options)));
  assert.equal(new Set(results.map(({ sha256 }) => sha256)).size, 1);
  await Promise.all(paths.map((each) => rm(each)));
});

test('outlives a server that hangs up while bytes still wait to be written', async () => {
  for (const framing of [
    'Connection: close',
    `Content-Length: ${bytes.length}\r\nConnection: close`,
  ]) {
    await using raw = await rawServer((socket) => {
      socket.end(Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\n${framing}\r\n\r\n`), bytes]));
    });
    for (let i = 0; i < 20; i += 1) {
      await assertWhole(await fetchSource(raw.url));
      await rm(path);
    }
  }
});

test('keeps its memory while 200 MB pass', async () => {
  const size = 200 * 1024 * 1024;
  const piece = randomBytes(256 * 1024);
  const url = server.answer('large', (_request, response) => {
    response.writeHead(200, { 'content-length': size });
    Readable.from(pieces(piece, size)).pipe(response);
  });
  const memory = new LiveMemory();
  const onProgress = (bytes: number) => memory.passed(bytes);
  const { bytes } = await fetchSource(url, { onProgress }, { maxBytes: size });
  assert.equal(bytes, size);
  const { grownBytes } = memory;
  assert.ok(grownBytes < 32 * 1024 * 1024, `grew by ${grownBytes} bytes`);
});

function* pieces(piece: Buffer, size: number): Generator<Buffer> {
  for (let sent = 0; sent < size; sent += piece.length) yield piece;
}

test('tells servers what the operator says that it is', async () => {
  const agents: (string | undefined)[] = [];
  const url = server.answer('agent', (request, response) => {
    agents.push(request.headers['user-agent']);
    response.end('x');
  });
  await fetchSource(url);
  await rm(path);
  await fetchSource(url, {}, { userAgent: 'Mozilla/5.0 (X11; Linux x86_64)' });
  assert.match(agents[0] ?? '', /^Mozilla\/5\.0 /);
  assert.equal(agents[1], 'Mozilla/5.0 (X11; Linux x86_64)');
});

test('takes less of an image than of a video where the operator says so, whatever its name', async () => {
  const png = Buffer.concat([
    Buffer.from('89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489', 'hex'),
    Buffer.alloc(40_000),
  ]);
  const url = server.file('clip.mp4', png);
  await assertFails(url, 'source_too_large', { maxImageBytes: 30_000 });
  const chunked = server.answer('unknown-length.mp4', (_request, response) => {
    for (let at = 0; at < png.length; at += 1_000) response.write(png.subarray(at, at + 1_000));
    response.end();
  });
  await assertFails(chunked, 'source_too_large', { maxImageBytes: 30_000 });
  const { bytes } = await fetchSource(url, {}, { maxImageBytes: 50_000, maxVideoBytes: 10 });
  assert.equal(bytes, png.length);
  await rm(path);
  const short = server.file('short.png', png.subarray(0, 3_000));
  await assertFails(short, 'source_too_large', { maxImageBytes: 2_000 });
});
