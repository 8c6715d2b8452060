import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { parseWorkflow } from './parse.ts';

const folder = new URL('../../workflows/', import.meta.url);

describe('parseWorkflow', () => {
  it('reads every workflow that is shipped', async () => {
    const files = await readdir(folder);
    for (const file of files) {
      const workflow = parseWorkflow(file, await readFile(new URL(file, folder), 'utf8'), null);
      assert.equal(workflow.kind, file.includes('video') ? 'video' : 'image', file);
    }
    assert.ok(files.length >= 6);
  });

  it('takes limits of its own from what stands beside the graph', async () => {
    const graph = await readFile(new URL('esrgan_image_4x.json', folder), 'utf8');
    const limits = (meta: string | null) => parseWorkflow('w', graph, meta).timeouts;
    assert.deepEqual(limits(null), {});
    assert.deepEqual(limits('{"run_timeout": 90.5, "title": "x"}'), { runMs: 90_500 });
    assert.deepEqual(limits('{"queue_timeout": 0}'), { queueMs: null });
    assert.throws(() => limits('{"run_timeout": "long"}'), /\.meta\.json: run_timeout/);
    assert.throws(() => limits('{"run_timeout":'), /not JSON/);
  });

  const broken = [
    ['', /not JSON/],
    ['{"1": ', /not JSON/],
    ['[]', /no JSON object/],
    ['null', /no JSON object/],
    ['{"nodes": [], "links": []}', /Export \(API\)/],
    ['{"1": {"inputs": {}}}', /Node 1: class_type/],
    ['{"1": {"class_type": "LoadImage", "inputs": []}}', /Node 1: inputs/],
    ['{"__proto__": {"class_type": 3}}', /Node __proto__/],
    ['{}', /No node reads the input/],
    [`"${'x'.repeat(1024 * 1024)}"`, /larger than 1 MB/],
  ] as const;
  for (const [text, message] of broken) {
    it(`refuses ${text.slice(0, 40)}`, () => {
      assert.throws(() => parseWorkflow('w', text, null), message);
    });
  }
});
