import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { whereToLook } from './where-to-look.ts';

describe('whereToLook', () => {
  it('names what a browser on this machine opens, or the address that clients have', () => {
    const dataDir = '/srv/tmlsr';
    for (const [url, publicUrl, base] of [
      ['http://127.0.0.1:6008', null, 'http://127.0.0.1:6008'],
      ['http://0.0.0.0:6008', null, 'http://localhost:6008'],
      ['http://[::]:6008', null, 'http://localhost:6008'],
      ['http://0.0.0.0:6008', 'https://sr.example.com', 'https://sr.example.com'],
    ] as const) {
      const line = whereToLook(url, { publicUrl, dataDir });
      assert.ok(line.includes(` ${base}/dashboard,`), line);
      assert.ok(line.includes(` ${base}/docs,`), line);
      assert.ok(line.includes(` ${dataDir}.`), line);
    }
  });
});
