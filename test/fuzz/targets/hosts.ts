import assert from 'node:assert/strict';
import { BlockList, isIP } from 'node:net';
import fc from 'fast-check';
import { parseBackendEntry } from '../../../src/comfyui/address.ts';
import { isLoopbackHost, OwnHosts } from '../../../src/core/own-hosts.ts';
import {
  parseSourceAllow,
  permitsAddress,
  permitsHost,
  type SourceAllow,
} from '../../../src/media/source-policy.ts';
import { validateSourceUrl } from '../../../src/media/source-url.ts';
import { mutatedText, oddText } from '../mutate.ts';
import { type FuzzTarget, orRefusal, target } from '../target.ts';

/** Blocks in which nobody may ask anything, told a second time by somebody else's means. */
const forbidden = { ipv4: new BlockList(), ipv6: new BlockList() };
for (const [net, bits] of [
  ...([
    ['0.0.0.0', 8],
    ['10.0.0.0', 8],
    ['100.64.0.0', 10],
    ['127.0.0.0', 8],
  ] as const),
  ...([
    ['169.254.0.0', 16],
    ['172.16.0.0', 12],
    ['192.168.0.0', 16],
    ['224.0.0.0', 3],
  ] as const),
  ...([
    ['168.63.129.16', 32],
    ['192.0.0.0', 24],
    ['198.18.0.0', 15],
  ] as const),
] as const) {
  forbidden.ipv4.addSubnet(net, bits, 'ipv4');
}
for (const [net, bits] of [
  ...([
    ['::', 3],
    ['2002::', 16],
    ['2001::', 32],
    ['4000::', 2],
    ['8000::', 1],
  ] as const),
  ['2001:db8::', 32],
] as const) {
  forbidden.ipv6.addSubnet(net, bits, 'ipv6');
}

const byte = fc.oneof(
  fc.constantFrom(0, 1, 10, 100, 127, 169, 172, 192, 255),
  fc.nat({ max: 255 }),
);
const group = fc.oneof(
  fc.constantFrom('0', '1', 'ffff', '2002', '2001', '64', 'ff9b', '5efe', '7f00', '200', 'fe80'),
  fc.nat({ max: 0xffff }).map((number) => number.toString(16)),
);
const ipv4 = fc.tuple(byte, byte, byte, byte);
const ipv6 = fc.oneof(
  fc.array(group, { minLength: 8, maxLength: 8 }).map((groups) => groups.join(':')),
  fc.tuple(group, group, group).map(([a, b, c]) => `${a}::${b}:${c}`),
  fc.tuple(group, ipv4).map(([a, bytes]) => `::${a}:${bytes.join('.')}`),
  ipv4.map((bytes) => `::ffff:${bytes.join('.')}`),
);

/** An address in any of the forms that are taken for one. */
const oddHost = fc.oneof(
  ipv4.map((bytes) => bytes.join('.')),
  ipv4.map(([a, b, c, d]) => String(((a * 256 + b) * 256 + c) * 256 + d)),
  ipv4.map(([a, b, c, d]) => `0x${a.toString(16)}.0${b.toString(8)}.${c * 256 + d}`),
  ipv4.map((bytes) => bytes.join('。')),
  ipv4.map((bytes) => `${bytes.join('.')}.`),
  ipv6.map((address) => `[${address}]`),
  mutatedText(['localhost', '127.0.0.1', '[::1]', 'example.com', 'a.localhost', '１２７.0.0.1']),
);

const nothingAllowed: SourceAllow = { hosts: [], networks: [] };
const allowLists = [
  'media.lan,*.example.com:8080,10.0.0.0/8,[fd00::1]:80,192.168.0.7:9000,fe80::/10',
  '127.0.0.1:8188, [::1]:1, *.lan',
];

const own = new OwnHosts({
  host: '0.0.0.0',
  publicUrl: 'https://Gateway.example/x',
  allowedHosts: ['gateway.lan', '*.example.com', 'fd00::8'],
  addresses: () => ['192.168.0.7', 'fe80::1'],
});
const ownNames = [
  '0.0.0.0',
  'gateway.example',
  'gateway.lan',
  '[fd00::8]',
  '192.168.0.7',
  '[fe80::1]',
];

export const hostTargets: readonly FuzzTarget[] = [
  target('source-policy', 5, {
    cases: fc.oneof(
      ipv4.map((bytes) => bytes.join('.')),
      ipv6,
      oddText,
    ),
    check(text) {
      const isPermitted = permitsAddress(nothingAllowed, text, 443);
      if (!isPermitted) return;
      assert.ok(!isForbidden(text), text);
    },
  }),
  target('source-url', 5, {
    cases: fc.record({
      scheme: fc.constantFrom('http', 'https', 'HTTP', 'ftp', 'file', 'http:'),
      host: oddHost,
      rest: fc.oneof(fc.constantFrom('/', ':80/a', '?a', '#b', ':0', '\\@10.0.0.1/'), oddText),
    }),
    check({ scheme, host, rest }) {
      const url = orRefusal(['source_invalid', 'source_refused'], () =>
        validateSourceUrl(`${scheme}://${host}${rest}`, nothingAllowed),
      );
      if (url === null) return;
      assert.match(url.protocol, /^https?:$/);
      assert.equal(url.username + url.password, '');
      const bare = url.hostname.replace(/^\[|\]$/g, '');
      assert.ok(isIP(bare) === 0 || !isForbidden(bare), url.href);
    },
  }),
  target('source-allow', 4, {
    cases: fc.tuple(fc.oneof(mutatedText(allowLists), oddText), oddHost, fc.nat({ max: 65_535 })),
    check([list, host, port]) {
      const allow = orPlainError(() => parseSourceAllow(list));
      if (allow === null) return;
      permitsHost(allow, host, port);
      const bare = host.replace(/^\[|\]$/g, '');
      if (permitsAddress(nothingAllowed, bare, port)) {
        assert.ok(permitsAddress(allow, bare, port));
      }
    },
  }),
  target('own-hosts', 4, {
    cases: fc.oneof(
      oddHost,
      mutatedText([...ownNames, 'a.example.com', 'example.com', 'localhost']),
    ),
    check(text) {
      const hostname = URL.parse(`http://${text}`)?.hostname;
      // Only what is no host of a URL comes as it is.
      if (!own.has(hostname ?? text) || hostname === undefined) return;
      const plain = hostname.replace(/\.$/, '');
      const bare = plain.replace(/^\[|\]$/g, '');
      const isOurs =
        ownNames.includes(plain) ||
        /\.example\.com$|(^|\.)localhost$/.test(plain) ||
        (isIP(bare) === 4 && bare.startsWith('127.')) ||
        bare === '::1';
      assert.ok(isOurs, hostname);
      assert.ok(own.has(hostname.toUpperCase()));
      if (isLoopbackHost(hostname)) assert.ok(own.has(hostname));
    },
  }),
  target('backend-address', 4, {
    cases: fc.oneof(
      mutatedText(['http://u:Zk7Qx9Wv2Rt5@host:8188/a/', 'dns+https://name:443', 'http://[::1]:1']),
      oddHost.map((host) => `http://${host}`),
      oddText,
    ),
    check(text) {
      const entry = orPlainError(() => parseBackendEntry(text));
      if (entry === null) return;
      if (entry.kind === 'dns') return void entry.at('10.0.0.1');
      const again = parseBackendEntry(entry.address.url);
      assert.deepEqual(again, entry);
    },
  }),
];

function isForbidden(text: string): boolean {
  if (isIP(text) === 4) return forbidden.ipv4.check(text, 'ipv4');
  const mapped = ipv4In(text);
  return mapped === null ? forbidden.ipv6.check(text, 'ipv6') : isForbidden(mapped);
}

/** The address of which an IPv6 one is only another form; `null` for any other. */
function ipv4In(text: string): string | null {
  const { hostname } = new URL(`http://[${text}]`);
  const [, high, low] = /^\[::ffff:([0-9a-f]+):([0-9a-f]+)\]$/.exec(hostname) ?? [];
  if (high === undefined || low === undefined) return null;
  const bytes = [high, low].map((each) => Number.parseInt(each, 16));
  return bytes.flatMap((each) => [each >> 8, each & 255]).join('.');
}

/** What settings are refused with is a plain error, whose text follows the setting's name. */
function orPlainError<T>(act: () => T): T | null {
  try {
    return act();
  } catch (error) {
    assert.ok(error instanceof Error && error.constructor === Error, String(error));
    return null;
  }
}
