import assert from 'node:assert/strict';
import type dns from 'node:dns';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { GatewayError } from '../core/errors.ts';
import { SourceFetcher } from './fetch-source.ts';
import { parseSourceAllow } from './source-policy.ts';
import { validateSourceUrl } from './source-url.ts';

/** Where an attacker wants to get: nobody may ever connect. */
let forbidden: Server;
let connections = 0;
let port = 0;
/** What the operator allows, and what redirects from there. */
let allowed: HttpServer;
let allowedHost = '';
let location = '';
let status = 302;
let folder = '';

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tmlsr-guard-'));
  forbidden = createServer((socket) => {
    connections += 1;
    socket.end('HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret');
  });
  // All addresses of the machine, so that no form of any of them goes to a closed port.
  forbidden.listen(0, '::');
  await once(forbidden, 'listening');
  port = (forbidden.address() as AddressInfo).port;
  allowed = createHttpServer((_request, response) => {
    response.writeHead(status, status === 200 ? {} : { location }).end('public');
  }).listen(0, '127.0.0.1');
  await once(allowed, 'listening');
  allowedHost = `127.0.0.1:${(allowed.address() as AddressInfo).port}`;
});

after(async () => {
  forbidden.close();
  allowed.close();
  allowed.closeAllConnections();
  await rm(folder, { recursive: true });
});

type Lookup = typeof dns.lookup;

/** Names with answers of their own; each look-up takes the next one, and the last stays. */
function resolver(names: Record<string, string[][]>): Lookup {
  const asked = new Map<string, number>();
  const lookup = (
    host: string,
    _options: unknown,
    callback: (error: Error | null, found: { address: string; family: number }[]) => void,
  ): void => {
    const turn = asked.get(host) ?? 0;
    asked.set(host, turn + 1);
    const answers = names[host];
    const answer = answers?.[Math.min(turn, answers.length - 1)];
    const found = answer?.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
    if (found) callback(null, found);
    else callback(Object.assign(new Error('ENOTFOUND'), { code: 'ENOTFOUND' }), []);
  };
  return lookup as unknown as Lookup;
}

async function attempt(url: string, lookup?: Lookup): Promise<unknown> {
  await using fetcher = new SourceFetcher({
    allow: parseSourceAllow(allowedHost),
    maxBytes: 1_000,
    deadlines: { connectDeadlineMs: 500, headersDeadlineMs: 500, totalDeadlineMs: 2_000 },
    ...(lookup ? { lookup } : {}),
  });
  const { signal } = new AbortController();
  const path = join(folder, 'source');
  const outcome = await fetcher
    .fetch(url, path, { onProgress: () => {}, signal })
    .catch((error) => error);
  await rm(path, { force: true });
  return outcome;
}

function assertRefused(outcome: unknown, form: string): void {
  assert.ok(outcome instanceof GatewayError, `${form} got through: ${JSON.stringify(outcome)}`);
  assert.ok(
    ['source_refused', 'source_invalid'].includes(outcome.code),
    `${form} ended with ${outcome.code}`,
  );
  assert.equal(outcome.field, 'url');
  assert.doesNotMatch(outcome.message, /\d|localhost|internal|::/);
  assert.equal(connections, 0, `${form} was connected to`);
}

const literals = [
  // IPv4: plain, decimal, hexadecimal, octal, short, padded, full-width, percent-encoded, dotted.
  ...['127.0.0.1', '127.0.0.2', '127.255.255.254', '0.0.0.0', '0', '2130706433', '0x7f000001'],
  ...['017700000001', '0x7f.0.0.1', '0177.0.0.1', '0x7f.1', '127.1', '127.0.1', '0177.1'],
  ...[
    '00177.0.0.1',
    '0x0000007f.0x1',
    '127.0.0.01',
    '127.0.0.1.',
    '127。0。0。1',
    '１２７.０.０.１',
  ],
  ...['①②⑦.⓪.⓪.①', '%31%32%37.0.0.1', '127.0.0%2E1', '0x7f.0x0.0x0.0x1', '0300.0250.0.1'],
  ...['10.0.0.1', '172.16.0.1', '192.168.0.1', '100.64.0.1', '198.18.0.1', '224.0.0.1'],
  ...['255.255.255.255', '240.0.0.1', '192.0.0.192'],
  // Metadata services: AWS, GCP, Azure, Aliyun, and odd forms of them.
  ...['169.254.169.254', '0xa9fea9fe', '2852039166', '169.254.43518', '[::ffff:a9fe:a9fe]'],
  ...['[fd00:ec2::254]', '100.100.100.200', '0x646464c8', '1684301000', '169.254.170.2'],
  ...['[fd20:ce::254]', '168.63.129.16', '0xa83f8110', '[::ffff:168.63.129.16]', '0144.0144.25800'],
  ...['[::ffff:6464:64c8]', '[64:ff9b::6464:64c8]', '[64:ff9b::a9fe:a9fe]', '[2002:a9fe:a9fe::1]'],
  ...['[2002:6464:64c8::]', '[2001:0:6464:64c8::1]', '[2001:0:4136:e378:8000:63bf:5601:5601]'],
  // IPv6: loopback, mapped, compatible, translated, tunnelled, local.
  ...['[::1]', '[::]', '[0:0:0:0:0:0:0:1]', '[::0001]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]'],
  ...['[0:0:0:0:0:ffff:127.0.0.1]', '[::127.0.0.1]', '[::7f00:1]', '[::ffff:0:127.0.0.1]'],
  ...['[64:ff9b::127.0.0.1]', '[64:ff9b::7f00:1]', '[64:ff9b:1::127.0.0.1]', '[2002:7f00:1::]'],
  ...['[64:ff9b:1:ffff::a9fe:a9fe]', '[2001::7f00:1]', '[2001:0:7f00:1::80ff:fffe]'],
  ...['[2600::5efe:7f00:1]', '[2600::200:5efe:7f00:1]', '[fe80::5efe:127.0.0.1]', '[fc00::1]'],
  ...['[fd12::1]', '[fe80::1]', '[fec0::1]', '[ff02::1]', '[fe80::1%25eth0]', '[::1%25lo]'],
  ...['[fe80::1%eth0]', '[100::1]', '[2001:db8::1]', '[5f00::1]'],
];

test(`refuses ${literals.length} forms of an address without a connection`, async () => {
  for (const host of literals) assertRefused(await attempt(`http://${host}:${port}/`), host);
});

test('refuses URLs that say one host and mean another', async () => {
  const forms = [
    `http://example.com@127.0.0.1:${port}/`,
    `http://example.com:80@127.0.0.1:${port}/`,
    `http://${allowedHost}@127.0.0.1:${port}/`,
    `http://127.0.0.1:${port}@example.com/`,
    `http://@127.0.0.1:${port}/`,
    `http:\\\\127.0.0.1:${port}\\`,
    `http:/\\127.0.0.1:${port}/`,
    `http:127.0.0.1:${port}/`,
    `http:////127.0.0.1:${port}/`,
    `http://127.0.0.1:${port}\\@example.com/`,
    `http://127.0.0.1:${port}#@example.com/`,
    `http://127.0.0.1:${port}?@example.com/`,
    ` \t\r\nhttp://127.0.0.1:${port}/ `,
    `ht\ntp://127.0.\t0.1:${port}/`,
    `http://127.0.0.1 :${port}/`,
    `http://\u00ad127.0.0.1:${port}/`,
    `HTTP://127.0.0.1:${port}/`,
    `https://127.0.0.1:${port}/`,
    `ftp://127.0.0.1:${port}/`,
    `file:///etc/passwd`,
    `gopher://127.0.0.1:${port}/`,
    `ws://127.0.0.1:${port}/`,
    `data:image/png;base64,AAAA`,
    `blob:http://127.0.0.1:${port}/x`,
    `javascript:alert(1)`,
    `unix:/var/run/docker.sock`,
    `//127.0.0.1:${port}/`,
    `127.0.0.1:${port}`,
    'http://',
    'http://:80/',
    'http://127.0.0.1:99999/',
    '',
  ];
  for (const form of forms) assertRefused(await attempt(form), form);
});

test('refuses names that lead to places which are not public', async () => {
  const addresses = [
    ...['127.0.0.1', '::1', '10.0.0.1', '169.254.169.254', 'fd00:ec2::254', '100.100.100.200'],
    ...[
      '::ffff:127.0.0.1',
      '::7f00:1',
      '64:ff9b::7f00:1',
      '2600::5efe:7f00:1',
      'fe80::1%lo',
      '0.0.0.0',
    ],
  ];
  for (const address of addresses) {
    const names = resolver({ 'metadata.google.internal': [[address]] });
    const url = `http://metadata.google.internal:${port}/`;
    assertRefused(await attempt(url, names), address);
  }
  // What the system itself makes of such a name.
  assertRefused(await attempt(`http://localhost:${port}/`), 'localhost');
});

test('refuses a name with one private address among public ones', async () => {
  for (const answer of [
    ['93.184.215.14', '127.0.0.1'],
    ['127.0.0.1', '93.184.215.14'],
    ['2606:4700::1111', '::1', '93.184.215.14'],
  ]) {
    const names = resolver({ 'mixed.example': [answer] });
    assertRefused(await attempt(`http://mixed.example:${port}/`, names), answer.join());
  }
});

test('judges the very answer that it connects to, however often it changes', async () => {
  const rebinding = resolver({ 'rebind.example': [['127.0.0.1'], ['93.184.215.14']] });
  assertRefused(await attempt(`http://rebind.example:${port}/`, rebinding), 'private first');
  const names = [['93.184.215.14', '127.0.0.1'], ['127.0.0.1']];
  const later = resolver({ 'rebind.example': names });
  for (const turn of names) {
    assertRefused(await attempt(`http://rebind.example:${port}/`, later), turn.join());
  }
});

test('refuses a name that was allowed when it redirected and leads elsewhere now', async () => {
  status = 302;
  const names = resolver({ 'rebind.example': [['127.0.0.1'], ['127.0.0.2']] });
  location = `http://rebind.example:${allowedHost.split(':')[1]}/again`;
  assertRefused(await attempt(location, names), location);
});

test('refuses redirects to where a URL may not lead', async () => {
  const targets = [
    ...[`http://127.0.0.1:${port}/`, `http://[::1]:${port}/`, `http://2130706433:${port}/`],
    ...[`//127.0.0.1:${port}/`, `http://example.com@127.0.0.1:${port}/`, 'http://169.254.169.254/'],
    ...[`http:\\\\127.0.0.1:${port}`, `https://127.0.0.1:${port}/`, `ftp://127.0.0.1:${port}/`],
    ...[
      'file:///etc/passwd',
      'data:text/plain,x',
      `gopher://127.0.0.1:${port}/`,
      'http://[',
      'http://',
    ],
  ];
  for (status of [301, 302, 303, 307, 308]) {
    for (location of targets) {
      assertRefused(await attempt(`http://${allowedHost}/`), `${status} ${location}`);
    }
  }
});

test('lets through what the operator allows', async () => {
  status = 200;
  const outcome = await attempt(`http://${allowedHost}/`);
  assert.equal((outcome as { bytes: number }).bytes, 6);
});

test('tells the log which address it was', async () => {
  const names = resolver({ 'inside.example': [['10.1.2.3']] });
  const outcome = (await attempt('http://inside.example/', names)) as GatewayError;
  assert.match(String(outcome.detail), /inside\.example.*10\.1\.2\.3/);
});

test('judges by an allowed name what the name leads to', async () => {
  const [, allowedPort] = allowedHost.split(':');
  await using fetcher = new SourceFetcher({
    allow: parseSourceAllow(`media.example:${allowedPort}`),
    maxBytes: 1_000,
    lookup: resolver({ 'media.example': [['127.0.0.1']], 'other.example': [['127.0.0.1']] }),
  });
  status = 200;
  const options = { onProgress: () => {}, signal: new AbortController().signal };
  const path = join(folder, 'named');
  const { bytes } = await fetcher.fetch(`http://media.example:${allowedPort}/`, path, options);
  assert.equal(bytes, 6);
  await rm(path);
  for (const url of [`http://media.example:${port}/`, `http://other.example:${allowedPort}/`]) {
    assertRefused(await fetcher.fetch(url, path, options).catch((error) => error), url);
  }
});

test('judges at the door what a URL tells by itself', () => {
  const allow = parseSourceAllow('10.0.0.5:8080');
  assert.equal(
    validateSourceUrl('http://10.0.0.5:8080/a b', allow).href,
    'http://10.0.0.5:8080/a%20b',
  );
  assert.equal(validateSourceUrl('https://example.com', allow).port, '');
  assert.throws(() => validateSourceUrl('http://10.0.0.5/', allow), { code: 'source_refused' });
  assert.throws(() => validateSourceUrl('s3://bucket/key', allow), { code: 'source_invalid' });
});

test('leaves no file behind', async () => {
  assert.deepEqual(await readdir(folder), []);
});
