import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Workflow } from '../../../core/workflow.ts';
import { parseTaskId, parseTaskRequest, presentTaskId, type WorkflowAliases } from './parse.ts';
import { createTask } from './schema.ts';

const url = 'https://example.com/a.png';
/** As workflows with sidecars would answer. */
const workflows: WorkflowAliases = {
  findByAlias(model, isMeant) {
    const sharp = { name: 'sharp_image_4x', kind: 'image', scale: 4 } as Workflow;
    return model === 'Sharp-4x' && isMeant(sharp) ? sharp : null;
  },
};

function workflowOf(body: Record<string, unknown>): [kind: string | null, workflow: string] {
  const { kind, workflow } = parseTaskRequest(createTask.parse({ url, ...body }), workflows);
  return [kind, workflow];
}

describe('parseTaskRequest', () => {
  const cases: [Record<string, unknown>, ReturnType<typeof workflowOf>][] = [
    [{}, ['video', 'esrgan_video_2x']],
    [{ type: 'image' }, ['image', 'esrgan_image_4x']],
    [{ type: 'image', model: 'RealESRGAN_x4plus' }, ['image', 'esrgan_image_4x']],
    [{ type: 'image', outscale: 2 }, ['image', 'esrgan_image_2x']],
    [{ type: 'image', outscale: 3 }, ['image', 'esrgan_image_4x']],
    [{ type: 'image', model: 'SeedVR2-7B' }, ['image', 'seedvr2_image_4096']],
    [{ model: 'seedvr2' }, ['video', 'seedvr2_video_1080']],
    [{ type: 'image', model: 'Sharp-4x' }, ['image', 'sharp_image_4x']],
    [{ type: 'image', model: 'Sharp-4x', outscale: 4 }, ['image', 'sharp_image_4x']],
    [{ model: 'Sharp-4x' }, ['video', 'esrgan_video_2x']],
    [{ type: 'image', workflow: 'my_image.json' }, ['image', 'my_image']],
    [{ workflow: 'my_image' }, [null, 'my_image']],
    [{ workflow: '我的 超分 (4x).JSON', model: 'seedvr2' }, [null, '我的 超分 (4x)']],
    [{ type: null, workflow: null, model: null }, ['video', 'esrgan_video_2x']],
  ];
  for (const [body, expected] of cases) {
    it(`maps ${JSON.stringify(body)}`, () => assert.deepEqual(workflowOf(body), expected));
  }

  it('keeps what the client wrote, and the size it wants', () => {
    const body = { url, outscale: 4, output_magnification: 1.5, output_dims: [640, 480] };
    const task = parseTaskRequest(createTask.parse({ ...body, workflow: null }), workflows);
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
