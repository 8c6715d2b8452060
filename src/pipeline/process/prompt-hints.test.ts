import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { samplePng } from '../../../test/support/media-samples.ts';
import { parseBackendAddress } from '../../comfyui/address.ts';
import { Backend } from '../../comfyui/backend.ts';
import { type ComfyMessage, endedPrompt } from '../../comfyui/messages.ts';
import type { Prompt } from '../../core/bind.ts';
import { realTempo } from '../../core/tempo.ts';
import { Emulator } from '../../emulator/emulator.ts';
import { createLogger } from '../../telemetry/logger.ts';
import { EarlyMessages } from './early-messages.ts';
import { PromptHints } from './prompt-hints.ts';

const { signal } = new AbortController();

describe('PromptHints', () => {
  let emulator: Emulator;
  let backend: Backend;
  let folder: string;
  let picture: Buffer;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tmlsr-hints-'));
    picture = await samplePng({ width: 16, height: 16 });
    await writeFile(join(folder, 'a.png'), picture);
    emulator = await Emulator.start();
    backend = new Backend(parseBackendAddress(emulator.url), createLogger('silent'));
    backend.start();
    if (backend.state !== 'idle') await once(backend, 'idle', { signal });
  });
  after(async () => {
    await backend[Symbol.asyncDispose]();
    await emulator.close();
    await rm(folder, { recursive: true });
  });

  /** What is told of a prompt, in its order: the messages that matter, and that the GPU is free. */
  async function told(workflow: string): Promise<string[]> {
    const promptId = randomUUID();
    const prompt = await upload(promptId);
    const events: string[] = [];
    const listen = (message: ComfyMessage) => {
      if (message.type === 'execution_success') events.push('success');
      if (message.type === 'executing') events.push(`node ${message.data.node}`);
    };
    backend.on('message', listen);
    using hints = new PromptHints(
      backend,
      {
        promptId,
        prompt,
        workflow,
        isFresh: true,
        onProgress: () => {},
        onGpuFree: () => {
          if (!events.includes('free')) events.push('free');
        },
      },
      realTempo.prompt,
    );
    await backend.client.submit(
      { id: promptId, prompt, outputs: ['3'], clientId: backend.clientId },
      signal,
    );
    await hints.next(30_000, signal);
    backend.off('message', listen);
    return events;
  }

  async function upload(promptId: string): Promise<Prompt> {
    const file = { path: join(folder, 'a.png'), contentType: 'image/png', name: 'a.png' };
    const size = picture.length;
    const image = await backend.client.upload({ ...file, size, subfolder: promptId }, signal);
    return {
      1: { class_type: 'LoadImage', inputs: { image } },
      2: { class_type: 'PreviewImage', inputs: { images: ['1', 0] } },
    };
  }

  it('frees the GPU when a prompt of an unknown workflow has succeeded', async () => {
    assert.deepEqual(await told('new'), ['node 1', 'node 2', 'success', 'free', 'node null']);
  });

  it('frees it when the last node begins, where that is short as a rule', async () => {
    backend.runTimes.addEnding('short', 5);
    assert.deepEqual(await told('short'), ['node 1', 'node 2', 'free', 'success', 'node null']);
  });

  it('does not where that is long', async () => {
    backend.runTimes.addEnding('long', 5);
    backend.runTimes.addEnding('long', 5_000);
    assert.deepEqual(await told('long'), ['node 1', 'node 2', 'success', 'free', 'node null']);
  });

  it('learns how long the last node takes', async () => {
    await told('learned');
    const endingMs = backend.runTimes.endingMs('learned');
    assert.ok(endingMs !== null && endingMs >= 0);
    assert.equal(backend.runTimes.endingMs('unheard of'), null);
  });

  it('knows of an end that came before the answer to the post', async () => {
    const promptId = randomUUID();
    const prompt = await upload(promptId);
    using early = new EarlyMessages(backend, promptId);
    const over = new Promise<void>((resolve) => {
      backend.on('message', function listen(message) {
        if (endedPrompt(message) !== promptId || message.type !== 'executing') return;
        backend.off('message', listen);
        resolve();
      });
    });
    const posted = { id: promptId, prompt, outputs: ['2'], clientId: backend.clientId };
    await Promise.all([over, backend.client.submit(posted, signal)]);
    let isFree = false;
    const hinted = {
      ...{ promptId, prompt, workflow: 'quick', isFresh: true, early, onProgress: () => {} },
      onGpuFree: () => {
        isFree = true;
      },
    };
    using hints = new PromptHints(backend, hinted, realTempo.prompt);
    assert.deepEqual([isFree, hints.isEndAwaited], [true, false]);
    await hints.next(30_000, signal);
  });
});
