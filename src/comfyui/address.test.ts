import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseBackendAddress } from './address.ts';

describe('parseBackendAddress', () => {
  it('keeps credentials out of the label', () => {
    const address = parseBackendAddress(' https://me:p%40ss@gpu.example:8443/comfy/ ');
    assert.equal(address.label, 'https://gpu.example:8443/comfy');
    assert.equal(address.origin, 'https://gpu.example:8443');
    assert.equal(address.prefix, '/comfy');
    const [, encoded] = address.headers.authorization?.split(' ') ?? [];
    assert.equal(Buffer.from(encoded ?? '', 'base64').toString(), 'me:p@ss');
  });

  it('takes a bare host and port', () => {
    const address = parseBackendAddress('http://127.0.0.1:8188');
    assert.deepEqual(address, {
      label: 'http://127.0.0.1:8188',
      origin: 'http://127.0.0.1:8188',
      prefix: '',
      headers: {},
    });
  });

  for (const bad of ['127.0.0.1:8188', 'ftp://x', 'http://x/?a=1', '']) {
    it(`refuses ${JSON.stringify(bad)}`, () => {
      assert.throws(() => parseBackendAddress(bad), /a backend is given as/);
    });
  }
});
