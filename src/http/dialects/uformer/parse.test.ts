import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Workflow } from '../../../core/workflow.ts';
import type { FormFile } from '../../form-tasks.ts';
import { idStartOf, parseForm, parseResultPath } from './parse.ts';

const workflow = {
  name: 'denoise_image',
  kind: 'image',
  scale: 1,
  aliases: ['sharp', 'denoise_b'],
  parameters: [],
} as unknown as Workflow;

const file = {
  id: 'f692edeb-41cb-4a3e-aebd-2db0044c0778',
  name: 'a.jpg',
  file: { contentType: 'image/jpeg' },
} as FormFile;

function parsed(fields: Readonly<Record<string, string>>, change: Partial<Workflow> = {}) {
  const written = { task_type: 'denoise', model_name: 'denoise_b', ...fields };
  const form = {
    fields: new Map(Object.entries(written).map(([name, text]) => [name, [text]])),
    files: new Map([['image_file', file]]),
  };
  return parseForm(form, 'image', [{ ...workflow, ...change }]);
}

describe('parseForm', () => {
  it('passes the choice of patches on to a workflow that knows it, and to no other', () => {
    const parameters = [{ name: 'use_patch_processing' }] as unknown as Workflow['parameters'];
    const choice = { use_patch_processing: 'off' };
    assert.deepEqual(parsed(choice, { parameters }).inputs, { use_patch_processing: false });
    assert.deepEqual(parsed({}, { parameters }).inputs, {});
    assert.deepEqual(parsed(choice).inputs, {});
  });

  it('asks for the size of the picture where the model would change it', () => {
    assert.equal(parsed({}).size.magnification, null);
    assert.equal(parsed({}, { scale: 2 }).size.magnification, 1);
    assert.equal(parsed({}, { scale: null }).size.magnification, 1);
  });

  it('remembers what the result is named by', () => {
    assert.deepEqual(parsed({ use_patch_processing: '1' }).params, {
      task_type: 'denoise',
      model_name: 'denoise_b',
      use_patch_processing: true,
      file_name: 'a',
    });
  });

  it('takes an alias for a model only where it begins with the name of its task', () => {
    assert.throws(() => parsed({ model_name: 'sharp' }), /known: denoise_b$/);
  });
});

describe('parseResultPath', () => {
  const path = '/static_results/images/denoise/processed/1678886400_a1b2c3d4_照片.png';

  it('takes a path as it was given out, behind a base address and with a query', () => {
    const given = encodeURI(path);
    for (const text of [given, `https://a.test/uformer${given}`, `${given}?id=1`, `${given}#x`]) {
      assert.equal(parseResultPath(text), path, text);
    }
  });

  it('knows no path in other texts', () => {
    for (const text of ['', 'static_results', '/objects/a.png', '/static_results/%']) {
      assert.equal(parseResultPath(text), null, text);
    }
  });
});

describe('idStartOf', () => {
  it('finds how the id begins behind the time', () => {
    assert.equal(idStartOf('/static_results/images/x/processed/1_a1b2c3d4_照_1.png'), 'a1b2c3d4');
  });

  it('finds nothing in what is no path of a result', () => {
    for (const name of ['1_a1b2c3_a.png', '1_a1b2c3d4_', 'a1b2c3d4_a.png', '1_a1b2c3d4_a/b']) {
      assert.equal(idStartOf(`/static_results/images/x/processed/${name}`), null, name);
    }
  });
});
