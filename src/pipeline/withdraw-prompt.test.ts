import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { samplePng } from '../../test/support/media-samples.ts';
import { sleepGraph } from '../../test/support/test-workflows.ts';
import { parseBackendAddress } from '../comfyui/address.ts';
import { ComfyClient } from '../comfyui/client.ts';
import type { Prompt } from '../core/bind.ts';
import { realTempo } from '../core/tempo.ts';
import { Emulator } from '../emulator/emulator.ts';
import { withdrawPrompt } from './withdraw-prompt.ts';

const { signal } = new AbortController();

/** A backend on which one prompt runs, for longer than the test, and one is pending. */
async function busyBackend(options: { hasJobs: boolean }) {
  const parts = new AsyncDisposableStack();
  const emulator = parts.use(await Emulator.start(options));
  const client = parts.use(new ComfyClient(parseBackendAddress(emulator.url)));
  const folder = await mkdtemp(join(tmpdir(), 'tmlsr-withdraw-'));
  parts.defer(() => rm(folder, { recursive: true }));
  const path = join(folder, 'input.png');
  const png = await samplePng({ width: 8, height: 8 });
  await writeFile(path, png);
  const file = { path, size: png.length, contentType: 'image/png', subfolder: '' };
  await client.upload({ ...file, name: 'input.png' }, signal);
  const { '2': sleep, ...graph } = sleepGraph(300) as Prompt;
  assert.ok(sleep);
  // It can be interrupted at each tick.
  const prompt = { ...graph, '2': { ...sleep, inputs: { ...sleep.inputs, ticks: 6_000 } } };
  const submit = async () => {
    const promptId = randomUUID();
    await client.submit({ id: promptId, prompt, outputs: ['3'], clientId: 'test' }, signal);
    return promptId;
  };
  const running = await submit();
  while (!(await client.queue(signal)).running.has(running)) await delay(5);
  const pending = await submit();
  return { client, running, pending, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}

const kinds = [
  { kind: 'a backend without jobs', backend: { hasJobs: false }, hasJobs: false },
  { kind: 'a backend with jobs', backend: { hasJobs: true }, hasJobs: true },
  { kind: 'a backend that has been set back', backend: { hasJobs: false }, hasJobs: true },
];

describe('withdrawPrompt', () => {
  for (const { kind, backend, hasJobs } of kinds) {
    it(`takes exactly the prompt that is meant off ${kind}`, async () => {
      await using busy = await busyBackend(backend);
      const { client, running, pending } = busy;
      await withdrawPrompt({ client, hasJobs }, randomUUID(), realTempo.attempt, signal);
      assert.deepEqual(await client.queue(signal), {
        running: new Set([running]),
        pending: new Set([pending]),
        requeued: [],
      });
      await withdrawPrompt({ client, hasJobs }, pending, realTempo.attempt, signal);
      assert.deepEqual(await client.queue(signal), {
        running: new Set([running]),
        pending: new Set(),
        requeued: [],
      });
      await withdrawPrompt({ client, hasJobs }, running, realTempo.attempt, signal);
      assert.deepEqual(await client.queue(signal), {
        running: new Set(),
        pending: new Set(),
        requeued: [],
      });
      assert.equal((await client.promptEnd(running, signal))?.kind, 'interrupted');
    });
  }

  it('leaves the GPU to the prompt behind the one that ran', async () => {
    await using busy = await busyBackend({ hasJobs: true });
    const { client, running, pending } = busy;
    await withdrawPrompt({ client, hasJobs: true }, running, realTempo.attempt, signal);
    while (!(await client.queue(signal)).running.has(pending)) await delay(5);
  });
});
