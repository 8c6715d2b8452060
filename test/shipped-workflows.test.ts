import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { sizeAsTheWorkflowGives } from '../src/core/size-plan.ts';
import { Emulator } from '../src/emulator/emulator.ts';
import { shippedNames, shippedWorkflow, WorkflowRunner } from './support/workflow-runner.ts';

/** Where the model can choose, it chooses this size too: small ones are quick. */
const asked = { ...sizeAsTheWorkflowGives, dims: { width: 102, height: 70 } };
const names = await shippedNames();

describe('the shipped workflows', () => {
  let emulator: Emulator;
  let runner: WorkflowRunner;

  before(async () => {
    emulator = await Emulator.start({ port: 0 });
    runner = await WorkflowRunner.open(emulator.url);
  });
  after(async () => {
    await runner?.[Symbol.asyncDispose]();
    await emulator?.close();
  });

  for (const name of names) {
    it(`${name} gives the size that was asked for, and keeps sound and frame rate`, async () => {
      const workflow = await shippedWorkflow(name, runner.catalogue);
      await runner.run(workflow, asked);
    });
  }

  it('give the size that they promise', async () => {
    for (const name of ['esrgan_image_3x', 'denoise_video', 'seedvr2_native_image_2048']) {
      const workflow = await shippedWorkflow(name, runner.catalogue);
      await runner.run(workflow, sizeAsTheWorkflowGives);
    }
  });

  it('say what they are, and no name of a model stands for two of a kind', async () => {
    const aliases = new Map<string, string>();
    for (const name of names) {
      const workflow = await shippedWorkflow(name, runner.catalogue);
      assert.ok(workflow.title && workflow.description, name);
      for (const alias of workflow.aliases) {
        const key = `${workflow.kind} ${alias}`;
        assert.equal(aliases.get(key), undefined, `${name}: ${key}`);
        aliases.set(key, name);
      }
    }
    assert.equal(aliases.get('image denoise_16'), 'denoise_image_16');
    assert.equal(aliases.get('video deblur_b'), 'deblur_video');
  });

  it('have fixed seeds', async () => {
    for (const name of names.filter((each) => each.includes('seedvr2'))) {
      const { parameters } = await shippedWorkflow(name, runner.catalogue);
      assert.equal(parameters.find(({ isSeed }) => isSeed)?.default, 42, name);
    }
  });
});
