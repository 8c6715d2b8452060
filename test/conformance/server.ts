import assert from 'node:assert/strict';
import { ask, post } from './client.ts';
import { type Subject, situation } from './subject.ts';

export function testServer(subject: () => Subject): void {
  situation('tells what it is and what it can hold', {}, subject, async () => {
    const { url } = subject();
    const { json: stats } = await ask(`${url}/system_stats`);
    assert.equal(typeof stats.system.comfyui_version, 'string');
    assert.equal(typeof stats.system.ram_total, 'number');
    assert.ok(Array.isArray(stats.system.argv));
    const device = stats.devices[0];
    for (const key of ['name', 'type', 'vram_total', 'vram_free', 'torch_vram_total']) {
      assert.ok(key in device, key);
    }
    const { json: features } = await ask(`${url}/features`);
    assert.equal(features.supports_preview_metadata, true);
    assert.equal(typeof features.max_upload_size, 'number');
  });

  situation('says that it is an emulator, where it is one', { faults: true }, subject, async () => {
    const { json, headers } = await ask(`${subject().url}/system_stats`);
    assert.match(json.system.comfyui_version, /\+tmlsr-emulator$/);
    assert.match(headers.server ?? '', /tmlsr-emulator/);
  });

  situation('describes its node classes one by one and together', {}, subject, async () => {
    const { url } = subject();
    const { json: all } = await ask(`${url}/object_info`);
    const { json: one } = await ask(`${url}/object_info/SaveImage`);
    assert.deepEqual(one.SaveImage, all.SaveImage);
    assert.equal(all.SaveImage.output_node, true);
    assert.deepEqual(all.LoadImage.output, ['IMAGE', 'MASK']);
    assert.ok(all.LoadImage.input.required.image[0].includes('in96.png'));
    const unknown = await ask(`${url}/object_info/NoSuchNode`);
    assert.deepEqual([unknown.status, unknown.json], [200, {}]);
  });

  situation('lists models by folder', {}, subject, async () => {
    const { url } = subject();
    const { json: folders } = await ask(`${url}/models`);
    assert.ok(folders.includes('upscale_models'));
    const { json: models } = await ask(`${url}/models/upscale_models`);
    assert.ok(Array.isArray(models));
    const unknown = await ask(`${url}/models/nope`);
    assert.deepEqual([unknown.status, unknown.text], [404, '']);
    assert.deepEqual((await ask(`${url}/embeddings`)).json, []);
  });

  situation('has every route below /api too, and no others', {}, subject, async () => {
    const { url } = subject();
    assert.equal((await ask(`${url}/api/queue`)).status, 200);
    assert.equal((await ask(`${url}/healthz`)).status, 404);
    const wrong = await ask(`${url}/view?filename=x`, { method: 'DELETE' });
    assert.deepEqual([wrong.status, wrong.text], [405, '405: Method Not Allowed']);
    assert.deepEqual(wrong.headers.allow?.split(',').toSorted(), ['GET', 'HEAD']);
  });

  situation('refuses the web pages of others', {}, subject, async () => {
    const headers = { Origin: 'http://evil.example' };
    const refused = await ask(`${subject().url}/queue`, { headers });
    assert.deepEqual([refused.status, refused.text], [403, '']);
  });

  situation('answers 500 in plain text to what it cannot read', {}, subject, async () => {
    const { url } = subject();
    for (const path of ['/prompt', '/queue', '/history', '/free']) {
      const { status, text } = await post(`${url}${path}`, '');
      assert.deepEqual([status, text.split('\n')[0]], [500, '500 Internal Server Error'], path);
    }
    assert.equal((await post(`${url}/interrupt`, '')).status, 200);
    assert.equal((await post(`${url}/interrupt`, 'not json')).status, 200);
    assert.equal((await post(`${url}/interrupt`, [1])).status, 500);
    assert.equal((await ask(`${url}/history?max_items=abc`)).status, 500);
  });
}
