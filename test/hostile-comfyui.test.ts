import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { parseBackendAddress } from '../src/comfyui/address.ts';
import { Backend } from '../src/comfyui/backend.ts';
import type { OutputFile } from '../src/comfyui/messages.ts';
import { GatewayError } from '../src/core/errors.ts';
import type { Tempo } from '../src/core/tempo.ts';
import { awaitPrompt } from '../src/pipeline/process/await-prompt.ts';
import { withdrawPrompt } from '../src/pipeline/withdraw-prompt.ts';
import { Pool } from '../src/pool/pool.ts';
import { createLogger } from '../src/telemetry/logger.ts';
import { whileWatchingTheLoop } from './support/event-loop.ts';
import { ComfyDouble, EndlessLists, misdeeds, passGraph } from './support/hostile-comfyui.ts';
import { samplePng } from './support/media-samples.ts';
import { scenesAtOnce } from './support/patience.ts';
import { untilTrue } from './support/pool-scene.ts';
import { testTempo } from './support/tempo.ts';

/** Nobody waits long for a server that does not answer. */
const tempo: Tempo = {
  ...testTempo,
  backend: { ...testTempo.backend, messageLagMs: 20, probeMs: 100 },
  socket: { ...testTempo.socket, handshakeDeadlineMs: 1_000, pingEveryMs: 200 },
  comfyui: {
    ...testTempo.comfyui,
    answerDeadlineMs: 1_000,
    idleDeadlineMs: 1_000,
    catalogueDeadlineMs: 1_000,
    longAnswerDeadlineMs: 200,
  },
  prompt: {
    ...testTempo.prompt,
    pollMs: 50,
    absentMs: 50,
    wedgedAfterMs: 300,
    refusedAfterMs: 300,
    lostAfterMs: 500,
  },
  attempt: { ...testTempo.attempt, withdrawPatienceMs: 200 },
  transfer: {
    ...testTempo.transfer,
    firstPauseMs: 20,
    longestPauseMs: 100,
    backendPatienceMs: 300,
  },
};
const { signal } = new AbortController();
/** What a busy machine may add to a turn of the event loop. */
const gaspMs = 2_000;

describe('a hostile ComfyUI server', { concurrency: 16 }, () => {
  let folder: string;
  let input: { path: string; size: number };
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tmlsr-hostile-'));
    const png = await samplePng({ width: 8, height: 8 });
    input = { path: join(folder, 'a.png'), size: png.length };
    await writeFile(input.path, png);
  });
  after(() => rm(folder, { recursive: true }));

  for (const misdeed of misdeeds) {
    const { name, ends = 'made' } = misdeed;
    it(`is told as ${ends}: ${name}`, async () => {
      await using double = await ComfyDouble.start(misdeed);
      const { result, heldMs } = await whileWatchingTheLoop(() =>
        ends === 'unused' ? isRefused(double) : tryOut(double),
      );
      assert.equal(result, ends);
      assert.ok(double.misdeeds.length > 0, 'it did nothing wrong');
      assert.ok(heldMs < gaspMs, `the event loop was held for ${heldMs} ms`);
    });
  }

  function backendAt({ url }: ComfyDouble): Backend {
    const backend = new Backend(parseBackendAddress(url), createLogger('silent'), tempo);
    backend.start();
    return backend;
  }

  /** It gets no work, and the reason is told. */
  async function isRefused(double: ComfyDouble): Promise<string> {
    await using backend = backendAt(double);
    const isOut = /^(not known yet|not reached|connection lost): ./;
    await untilTrue(() => double.misdeeds.length > 0 && isOut.test(backend.report([]).reason));
    return backend.hasRoom ? backend.state : 'unused';
  }

  /** Gives it a prompt, as an attempt does, and tells how that ended. */
  async function tryOut(double: ComfyDouble): Promise<string> {
    await using backend = backendAt(double);
    await untilTrue(() => backend.hasRoom);
    const promptId = randomUUID();
    try {
      const [output] = await run(backend, promptId);
      const size = output && (await backend.client.fileSize(output, signal));
      if (!size) return 'nothing';
      const bytes = await backend.client
        .openOutput(output, null, signal)
        .then(buffer)
        .catch(() => null);
      return bytes?.length === size ? 'made' : 'no use';
    } catch (error) {
      assert.ok(error instanceof GatewayError, `${error}`);
      assert.ok(error.message.length < 2_000);
      // Which of them depends on how busy the machine is.
      return /^backend_(failed|unreachable)$/.test(error.code) ? 'no use' : error.code;
    } finally {
      await withdrawPrompt(backend, promptId, tempo.attempt, AbortSignal.timeout(1_000)).catch(
        () => {},
      );
    }
  }

  async function run(backend: Backend, promptId: string): Promise<readonly OutputFile[]> {
    const file = { ...input, contentType: 'image/png', name: 'a.png', subfolder: promptId };
    const image = await backend.inputs.put(file, signal);
    const prompt = {
      '1': { ...passGraph['1'], inputs: { image } },
      '3': { ...passGraph['3'], inputs: { images: ['1', 0], filename_prefix: `${promptId}/out` } },
    };
    const { clientId, client } = backend;
    await client.submit({ id: promptId, prompt, outputs: ['3'], clientId }, signal);
    const awaited = {
      promptId,
      prompt,
      workflow: 'pass',
      isFresh: true,
      learnedMs: Promise.resolve(10),
      leftMs: 2_000,
      onProgress: () => {},
      onGpuFree: () => {},
    };
    return (await awaitPrompt(backend, awaited, tempo.prompt, signal)).files;
  }
});

describe('a pool with hostile servers', { concurrency: scenesAtOnce }, () => {
  const named = (wanted: string) => {
    const misdeed = misdeeds.find(({ name }) => name === wanted);
    assert.ok(misdeed);
    return misdeed;
  };

  /** The pause before its last misdeed, once there are so many. */
  async function lastPauseMs(wanted: string, count: number): Promise<number> {
    await using double = await ComfyDouble.start(named(wanted));
    await using backend = new Backend(
      parseBackendAddress(double.url),
      createLogger('silent'),
      tempo,
    );
    backend.start();
    await untilTrue(() => double.misdeeds.length >= count);
    const [last = 0, before = 0] = double.misdeeds.slice(0, count).toReversed();
    return last - before;
  }

  it('asks one that does not tell what it is less and less often', async () => {
    const { firstIdentifyPauseMs } = tempo.backend;
    // Half of each pause is jitter.
    assert.ok((await lastPauseMs('no nodes', 4)) >= (firstIdentifyPauseMs * 4) / 2);
  });

  it('connects less and less often to one that hangs up', async () => {
    const { firstPauseMs } = tempo.socket;
    assert.ok((await lastPauseMs('ends each WebSocket', 5)) >= (firstPauseMs * 16) / 2);
  });

  it('has one long answer in memory at a time', async () => {
    await using cleanup = new AsyncDisposableStack();
    const lists = new EndlessLists();
    const comfyui = { ...testTempo.comfyui, longAnswerDeadlineMs: 60_000 };
    const pool = cleanup.use(new Pool(createLogger('silent'), { ...testTempo, comfyui }));
    const doubles = await Promise.all(
      Array.from({ length: 4 }, async () => cleanup.use(await ComfyDouble.start(lists.misdeed))),
    );
    for (const { url } of doubles) pool.add(parseBackendAddress(url));
    await untilTrue(() => doubles.every(({ misdeeds }) => misdeeds.length > 1));
    const reasons = pool.backends.map((backend) => backend.report([]).reason);
    for (const reason of reasons) assert.match(reason, /^not known yet: .* more than 64 MB$/);
    // The system's buffers hold some of the others.
    const megabytes = lists.peakBytes / 1024 ** 2;
    assert.ok(megabytes < 64 + 4 * 10, `${megabytes} MB`);
  });
});
