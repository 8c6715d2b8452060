import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { z } from 'zod';
import { settings, settingsOf, type TaskManagerSettings } from './settings.ts';

function read(env: Readonly<Record<string, string>>): TaskManagerSettings {
  return settingsOf(z.object(settings.schemas).parse(env));
}

describe('the settings of the task manager', () => {
  it('say which workflows task names stand for', () => {
    const of = (TASK_NAMES: string) => [...read({ TASK_NAMES }).taskNames];
    assert.deepEqual(
      [...read({}).taskNames],
      [['image_super_resolution_pipeline', 'esrgan_image_4x']],
    );
    assert.deepEqual(of(' a = x 4x.json , b=y'), [
      ['a', 'x 4x'],
      ['b', 'y'],
    ]);
    for (const wrong of ['a', 'a=', '=x', 'a=x=y', 'a=x,a=y', 'a b=x']) {
      assert.throws(() => of(wrong), /entry \d is not task_name=workflow|a stands for/, wrong);
    }
  });

  it('take a waiting time of 0 for none', () => {
    assert.equal(read({}).queueTimeoutMs, 30_000);
    assert.equal(read({ TASK_MANAGER_QUEUE_TIMEOUT: '0' }).queueTimeoutMs, null);
  });
});
