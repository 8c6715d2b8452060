import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  fileRefusal,
  noQuotas,
  type Quotas,
  quotaHeaders,
  type Standing,
  taskRefusal,
} from './quota.ts';

const nothing: Standing = { waiting: 0, storedBytes: 0, uploadBytes: 0, gpuMs: 0 };
const noon = Date.UTC(2026, 7, 1, 12);

describe('taskRefusal', () => {
  const cases: [name: string, Partial<Standing>, Partial<Quotas>, resetS?: number][] = [
    ['', { waiting: 9, storedBytes: 9, gpuMs: 9_000 }, {}],
    ['', { waiting: 1 }, { waiting: 2 }],
    ['waiting', { waiting: 2 }, { waiting: 2 }, 5],
    ['', { storedBytes: 9 }, { storedBytes: 10 }],
    ['stored-bytes', { storedBytes: 10 }, { storedBytes: 10 }, 60],
    ['', { gpuMs: 9_999 }, { gpuSeconds: 10 }],
    ['gpu-seconds', { gpuMs: 10_000 }, { gpuSeconds: 10 }, 12 * 3_600],
    // What lasts longest is told.
    ['gpu-seconds', { gpuMs: 10_000, waiting: 2 }, { gpuSeconds: 10, waiting: 2 }, 12 * 3_600],
    ['', { uploadBytes: 10 }, { uploadBytes: 10 }],
  ];
  for (const [name, has, quotas, resetS] of cases) {
    it(`is ${name || 'nothing'} for ${JSON.stringify({ has, quotas })}`, () => {
      const refusal = taskRefusal({ ...nothing, ...has }, { ...noQuotas, ...quotas }, noon);
      assert.equal(refusal?.state.name ?? '', name);
      assert.equal(refusal?.state.resetS, resetS);
    });
  }

  it('lasts until midnight for GPU time, and a second at least', () => {
    const standing = { ...nothing, gpuMs: 1_000 };
    for (const [at, resetS] of [
      ['2026-08-01T00:00:00.000Z', 86_400],
      ['2026-08-01T23:59:59.999Z', 1],
    ] as const) {
      const refusal = taskRefusal(standing, { ...noQuotas, gpuSeconds: 1 }, Date.parse(at));
      assert.equal(refusal?.state.resetS, resetS);
    }
  });
});

describe('fileRefusal', () => {
  it('is of files alone', () => {
    const quotas = { ...noQuotas, uploadBytes: 10, waiting: 1 };
    const has = { ...nothing, waiting: 9, uploadBytes: 9 };
    assert.equal(fileRefusal(has, quotas), null);
    assert.equal(fileRefusal({ ...has, uploadBytes: 10 }, quotas)?.state.name, 'upload-bytes');
    assert.equal(fileRefusal({ ...has, uploadBytes: 10 }, noQuotas), null);
  });
});

describe('quotaHeaders', () => {
  it('tell of a quota with and without a window and a unit', () => {
    const state = { name: 'requests', most: 60, windowS: 60, left: 3, resetS: 57 };
    assert.deepEqual(quotaHeaders(state), {
      'RateLimit-Policy': '"requests";q=60;w=60',
      RateLimit: '"requests";r=3;t=57',
    });
    const waiting = { name: 'waiting', most: 2, unit: 'tasks', left: 0, resetS: 5 };
    assert.deepEqual(quotaHeaders(waiting), {
      'RateLimit-Policy': '"waiting";q=2;qu="tasks"',
      RateLimit: '"waiting";r=0;t=5',
    });
  });
});
