import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { OwnHosts, type OwnHostsOptions } from './own-hosts.ts';

describe('own hosts', () => {
  const none: OwnHostsOptions = {
    host: '127.0.0.1',
    publicUrl: null,
    allowedHosts: [],
    addresses: () => [],
  };
  const addresses = () => ['192.168.0.7', 'fd00::9'];
  const table: [
    options: Partial<OwnHostsOptions>,
    own: readonly string[],
    strange: readonly string[],
  ][] = [
    [{}, ['localhost', '127.0.0.1', '[::1]', 'a.localhost.'], ['0.0.0.0', '[::]', 'localhost.a']],
    [{ addresses }, ['127.0.0.1'], ['192.168.0.7', '[fd00::9]']],
    [
      { addresses, host: '0.0.0.0' },
      ['192.168.0.7', '[fd00::9]', '0.0.0.0'],
      ['192.168.0.8', '[::]'],
    ],
    [{ addresses, host: '::' }, ['192.168.0.7', '[fd00::9]', '[::]'], ['fd00::9.example', 'lan']],
    [{ addresses, host: '192.168.0.7' }, ['192.168.0.7', '127.0.0.1'], ['[fd00::9]']],
    [{ host: 'gateway.lan' }, ['gateway.lan', 'GATEWAY.lan.'], ['a.gateway.lan', 'lan']],
    [{ allowedHosts: ['*.example.com'] }, ['a.example.com', 'b.a.example.com'], ['example.com']],
  ];
  for (const [options, own, strange] of table) {
    it(`are ${own.join(', ')} with ${JSON.stringify(options)}`, () => {
      const hosts = new OwnHosts({ ...none, ...options });
      for (const host of own) assert.equal(hosts.has(host), true, host);
      for (const host of strange) assert.equal(hosts.has(host), false, host);
    });
  }
});
