import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseBackendAddress, parseBackendEntry } from './address.ts';

function credentialsOf({ headers }: { headers: Readonly<Record<string, string>> }): string {
  const [, encoded] = headers.authorization?.split(' ') ?? [];
  return Buffer.from(encoded ?? '', 'base64').toString();
}

describe('parseBackendAddress', () => {
  it('keeps credentials out of the label', () => {
    const address = parseBackendAddress(' https://me:p%40ss@gpu.example:8443/comfy/ ');
    assert.equal(address.label, 'https://gpu.example:8443/comfy');
    assert.equal(address.origin, 'https://gpu.example:8443');
    assert.equal(address.prefix, '/comfy');
    assert.equal(credentialsOf(address), 'me:p@ss');
  });

  it('takes a bare host and port', () => {
    const address = parseBackendAddress('http://127.0.0.1:8188');
    assert.deepEqual(address, {
      id: '449a6c5602aa',
      label: 'http://127.0.0.1:8188',
      url: 'http://127.0.0.1:8188',
      origin: 'http://127.0.0.1:8188',
      prefix: '',
      headers: {},
    });
  });

  it('gives a URL from which the same address is read again', () => {
    const address = parseBackendAddress('https://me:p%40ss@gpu.example:8443/comfy//');
    assert.equal(address.url, 'https://me:p%40ss@gpu.example:8443/comfy');
    assert.deepEqual(parseBackendAddress(address.url), address);
  });

  it('gives one id to one server, whatever the credentials', () => {
    const [bare, other, elsewhere] = [
      'http://gpu:8188',
      'http://me:secret@GPU:8188/',
      'http://gpu:8189',
    ].map((url) => parseBackendAddress(url).id);
    assert.match(bare ?? '', /^[0-9a-f]{12}$/);
    assert.equal(other, bare);
    assert.notEqual(elsewhere, bare);
  });

  for (const bad of ['127.0.0.1:8188', 'ftp://x', 'http://x/?a=1', 'dns+http://x:8188', '']) {
    it(`refuses ${JSON.stringify(bad)}`, () => {
      assert.throws(() => parseBackendAddress(bad), /a backend is given as/);
    });
  }

  for (const bad of ['http://me:50%@x:8188', 'http://%zz:secret@x', 'http://me:%ff@x']) {
    it(`tells how credentials are written that are none: ${bad}`, () => {
      const says = 'a % in the user or the password of a backend is written as %25';
      assert.throws(() => parseBackendAddress(bad), { message: says });
    });
  }
});

describe('parseBackendEntry', () => {
  it('takes a URL for one server', () => {
    const entry = parseBackendEntry('http://127.0.0.1:8188');
    assert.deepEqual(entry, {
      kind: 'fixed',
      address: parseBackendAddress('http://127.0.0.1:8188'),
    });
  });

  it('takes a name for the servers at its IP addresses, with the same port, path and credentials', () => {
    const entry = parseBackendEntry(' dns+http://me:p%40ss@comfy.internal:8188/gpu/ ');
    assert.ok(entry.kind === 'dns');
    assert.equal(entry.hostname, 'comfy.internal');
    assert.equal(entry.label, 'dns+http://comfy.internal:8188/gpu');
    const address = entry.at('10.0.0.7');
    assert.equal(address.label, 'http://10.0.0.7:8188/gpu');
    assert.equal(credentialsOf(address), 'me:p@ss');
    assert.deepEqual(address, parseBackendAddress('http://me:p%40ss@10.0.0.7:8188/gpu'));
    assert.equal(entry.at('fd00::7').label, 'http://[fd00::7]:8188/gpu');
  });

  it('keeps the name for TLS', () => {
    const entry = parseBackendEntry('dns+https://comfy.example:8443');
    assert.ok(entry.kind === 'dns');
    const address = entry.at('10.0.0.7');
    assert.equal(address.label, 'https://10.0.0.7:8443');
    assert.equal(address.serverName, 'comfy.example');
    assert.equal(address.headers.host, 'comfy.example:8443');
  });

  for (const bad of ['dns+ftp://x', 'dns+comfy:8188', 'dns:http://x', 'dns+http://me:secret@']) {
    it(`refuses ${JSON.stringify(bad)} without repeating a password`, () => {
      assert.throws(
        () => parseBackendEntry(bad),
        (error: Error) => /given as/.test(error.message) && !/secret/.test(error.message),
      );
    });
  }
});
