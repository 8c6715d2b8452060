import assert from 'node:assert/strict';
import { access, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fetch } from 'undici';
import { ask, post, untilIdle } from './conformance/client.ts';
import { picture, upload } from './conformance/fixtures.ts';
import { EmulatorProcess } from './support/emulator-process.ts';
import { patienceMs } from './support/patience.ts';

let nonce = 0;

function sleeper(inputs: Record<string, unknown>): object {
  return {
    1: { class_type: 'LoadImage', inputs: { image: 'in.png' } },
    2: { class_type: 'EmulatorSleep', inputs: { image: ['1', 0], nonce: nonce++, ...inputs } },
    3: { class_type: 'SaveImage', inputs: { images: ['2', 0], filename_prefix: 'out' } },
  };
}

async function submit({ url }: EmulatorProcess, inputs: Record<string, unknown>): Promise<string> {
  const { status, json, text } = await post(`${url}/prompt`, { prompt: sleeper(inputs) });
  assert.equal(status, 200, text);
  return json.prompt_id;
}

describe('the emulator as a process', () => {
  it('tells its runs, and is as slow as it is told', async () => {
    await using emulator = await EmulatorProcess.start({ slowdown: 4 });
    await upload(emulator.url, { name: 'in.png', content: await picture(48, 32) });
    assert.deepEqual(await emulator.runs(), []);
    const promptId = await submit(emulator, { seconds: 0.05, model: 'a' });
    await untilIdle(emulator.url);
    const [run, ...others] = await emulator.runs();
    assert.deepEqual(others, []);
    assert.ok(run?.endedAt);
    const { startedAt, endedAt, ...rest } = run;
    assert.deepEqual(rest, { promptId, model: 'a', loadedModel: true, outcome: 'success' });
    assert.ok(endedAt - startedAt >= 200, String(endedAt - startedAt));
  });

  it('is killed in the middle of a run and comes back where it was, with its files only', async () => {
    await using emulator = await EmulatorProcess.start();
    const { url } = emulator;
    await upload(url, { name: 'in.png', content: await picture(48, 32) });
    await submit(emulator, { seconds: 0 });
    await untilIdle(url);
    const lost = await submit(emulator, { seconds: 3600 });
    const deadline = Date.now() + patienceMs;
    while ((await emulator.runs()).at(-1)?.promptId !== lost) {
      assert.ok(Date.now() < deadline, 'the prompt did not begin');
      await delay(10);
    }
    await emulator.kill();
    await emulator.kill();
    await assert.rejects(fetch(`${url}/queue`));
    await emulator.restart();
    assert.equal(emulator.url, url);
    assert.deepEqual(await emulator.runs(), []);
    assert.deepEqual((await ask(`${url}/history`)).json, {});
    assert.equal((await ask(`${url}/view?filename=out_00001_.png`)).status, 200);
    await submit(emulator, { seconds: 0 });
    await untilIdle(url);
    assert.equal((await emulator.runs())[0]?.outcome, 'success');
  });

  it('restarts while it runs', async () => {
    await using emulator = await EmulatorProcess.start();
    const { url } = emulator;
    await emulator.restart();
    assert.equal(emulator.url, url);
    assert.equal((await ask(`${url}/queue`)).status, 200);
  });

  it('takes its folder away at the end, unless it was given', async () => {
    await using own = await EmulatorProcess.start();
    const folder = await mkdtemp(join(tmpdir(), 'tmlsr-emulator-'));
    await using given = await EmulatorProcess.start({ dataDir: folder });
    for (const emulator of [own, given]) {
      await upload(emulator.url, { name: 'in.png', content: await picture(48, 32) });
      await access(join(emulator.dataDir, 'input', 'in.png'));
      await emulator[Symbol.asyncDispose]();
      await assert.rejects(fetch(`${emulator.url}/queue`));
    }
    await assert.rejects(access(own.dataDir));
    await access(join(folder, 'input', 'in.png'));
    await rm(folder, { recursive: true });
  });
});
