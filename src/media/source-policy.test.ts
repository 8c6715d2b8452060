import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSourceAllow, permitsAddress, permitsHost } from './source-policy.ts';

const nothing = parseSourceAllow('');

const permits = (list: string, host: string, port = 80): boolean => {
  const allow = parseSourceAllow(list);
  return permitsHost(allow, host, port) || permitsAddress(allow, host, port);
};

test('allows public addresses, and none of those that are reserved, without an entry', () => {
  for (const address of ['8.8.8.8', '1.1.1.1', '47.88.1.1', '2606:4700::1111', '2a00:1450::1']) {
    assert.ok(permitsAddress(nothing, address, 80), address);
  }
  const reserved = [
    ...['0.0.0.0', '0.1.2.3', '10.0.0.1', '100.64.0.1', '100.100.100.200', '127.0.0.1'],
    ...['127.255.255.254', '169.254.169.254', '172.16.0.1', '172.31.255.255', '192.0.0.192'],
    ...['192.0.2.1', '192.88.99.1', '192.168.1.1', '198.18.0.1', '198.51.100.1', '203.0.113.9'],
    ...['224.0.0.1', '240.0.0.1', '255.255.255.255'],
    ...['::', '::1', '::7f00:1', '::10.0.0.1', '::ffff:127.0.0.1', '::ffff:7f00:1'],
    ...['::ffff:0:127.0.0.1', '64:ff9b::7f00:1', '64:ff9b:1::7f00:1', '64:ff9b:1:ffff::a00:1'],
    ...['2002:7f00:1::', '2001::7f00:1', '2600::5efe:7f00:1', '2600::200:5efe:a00:1'],
    ...['fe80::5efe:7f00:1', 'fe80::1', 'fe80::1%eth0', 'fec0::1', 'fc00::1', 'fd00:ec2::254'],
    ...['ff02::1', '100::1', '100:0:0:1::1', '2001:db8::1', '3fff::1', '5f00::1', '4000::1'],
    ...['not an address', ''],
  ];
  for (const address of reserved) assert.ok(!permitsAddress(nothing, address, 80), address);
});

test('allows what an entry names, and nothing beside it', () => {
  const table: [list: string, yes: string[], no: string[]][] = [
    ['media.lan', ['media.lan'], ['lan', 'a.media.lan', 'xmedia.lan', 'media.lan.evil.com']],
    ['*.lan', ['a.lan', 'a.b.lan'], ['lan', 'alan', 'a.lan.evil.com']],
    ['10.0.0.5', ['10.0.0.5', '::ffff:10.0.0.5'], ['10.0.0.4', '10.0.0.50', '64:ff9b::a00:5']],
    ['10.1.0.0/16', ['10.1.0.1', '10.1.255.255'], ['10.0.255.255', '10.2.0.0', '::a01:1']],
    ['10.1.2.3/16', ['10.1.9.9'], ['10.2.2.3']],
    ['fd12::/16', ['fd12::1', 'fd12:ffff::1'], ['fd13::1', '10.0.0.1']],
    ['[fd12::5]', ['fd12::5', 'fd12:0:0::5'], ['fd12::6']],
    ['fd12::5', ['fd12::5'], ['fd12::6']],
    ['100.100.100.200', ['100.100.100.200'], ['100.100.100.201']],
    [' Media.LAN , 10.0.0.5,, ', ['media.lan', '10.0.0.5'], ['10.0.0.6']],
  ];
  for (const [list, yes, no] of table) {
    for (const host of yes) assert.ok(permits(list, host), `${list} should allow ${host}`);
    for (const host of no) assert.ok(!permits(list, host), `${list} should not allow ${host}`);
  }
});

test('holds an entry to its port', () => {
  const table: [list: string, host: string][] = [
    ['media.lan:8080', 'media.lan'],
    ['*.lan:8080', 'a.lan'],
    ['10.0.0.5:8080', '10.0.0.5'],
    ['[fd12::5]:8080', 'fd12::5'],
    ['10.0.0.0/8:8080', '10.9.9.9'],
    ['[fd12::/16]:8080', 'fd12::9'],
  ];
  for (const [list, host] of table) {
    assert.ok(permits(list, host, 8080), list);
    assert.ok(!permits(list, host, 8081), list);
    assert.ok(!permits(list, host, 80), list);
  }
});

test('names the entry that it cannot read', () => {
  const wrong = [
    ...['http://media.lan', 'media.lan/path', 'me dia.lan', 'media.lan:', 'media.lan:http'],
    ...[
      'media.lan:0',
      'media.lan:65536',
      'media.lan:123456',
      '*',
      '*.',
      '.lan',
      'a.*.lan',
      '-a.lan',
    ],
    ...['10.0.0.0/33', '10.0.0.0/', '10.0.0.0/8/8', '10/8', '10.0/8', '10.0.0.256', '10.0.0'],
    ...[
      '127.1',
      '0x7f.1',
      '0x7f000001',
      '2130706433',
      'fd12::/129',
      '[fd12::5',
      'fd12::5]',
      '[media.lan]',
    ],
    ...['[10.0.0.5]:80', 'fd12::g', 'user@media.lan', 'ünï.lan'],
  ];
  for (const entry of wrong) {
    assert.throws(
      () => parseSourceAllow(`good.lan, ${entry} ,10.0.0.1`),
      (error: Error) => error.message.endsWith(`: ${entry}`),
      entry,
    );
  }
});
