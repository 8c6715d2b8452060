import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseNewTask, parseTaskId, presentTaskId } from './parse.ts';
import { createTask } from './schema.ts';

const url = 'https://example.com/a.png';
const find = (name: string) =>
  name.includes('image') ? ({ kind: 'image' } as const) : ({ kind: 'video' } as const);

function workflowOf(body: Record<string, unknown>): [kind: string, workflow: string] {
  const { kind, workflow } = parseNewTask(createTask.parse({ url, ...body }), find);
  return [kind, workflow];
}

describe('parseNewTask', () => {
  const cases: [Record<string, unknown>, ReturnType<typeof workflowOf>][] = [
    [{}, ['video', 'esrgan_video_2x']],
    [{ type: 'image' }, ['image', 'esrgan_image_4x']],
    [{ type: 'image', model: 'RealESRGAN_x4plus' }, ['image', 'esrgan_image_4x']],
    [{ type: 'image', outscale: 2 }, ['image', 'esrgan_image_2x']],
    [{ type: 'image', outscale: 3 }, ['image', 'esrgan_image_4x']],
    [{ type: 'image', model: 'SeedVR2-7B' }, ['image', 'seedvr2_image_4096']],
    [{ model: 'seedvr2' }, ['video', 'seedvr2_video_1080']],
    [{ type: 'image', workflow: 'my_image.json' }, ['image', 'my_image']],
    [{ workflow: 'my_image' }, ['image', 'my_image']],
    [{ workflow: 'my_clip', model: 'seedvr2' }, ['video', 'my_clip']],
    [{ type: null, workflow: null, model: null }, ['video', 'esrgan_video_2x']],
  ];
  for (const [body, expected] of cases) {
    it(`maps ${JSON.stringify(body)}`, () => assert.deepEqual(workflowOf(body), expected));
  }

  it('keeps what the client wrote, and the size it wants', () => {
    const body = { url, outscale: 4, output_magnification: 1.5, output_dims: [640, 480] };
    const task = parseNewTask(createTask.parse({ ...body, workflow: null }), find);
    assert.deepEqual(task.params, body);
    assert.deepEqual(task.size, {
      outscale: 4,
      magnification: 1.5,
      dims: { width: 640, height: 480 },
    });
  });
});

describe('task ids', () => {
  it('are 32 hex digits outside and a UUID inside', () => {
    const id = 'f692edeb-41cb-4a3e-aebd-2db0044c0778';
    assert.equal(presentTaskId(id), 'f692edeb41cb4a3eaebd2db0044c0778');
    assert.equal(parseTaskId('F692EDEB41CB4A3EAEBD2DB0044C0778'), id);
    assert.equal(parseTaskId(id), id);
    assert.equal(parseTaskId('f692'), null);
    assert.equal(parseTaskId("f692edeb41cb4a3eaebd2db0044c077'"), null);
  });
});
