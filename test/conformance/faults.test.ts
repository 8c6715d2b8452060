import assert from 'node:assert/strict';
import { once } from 'node:events';
import { access } from 'node:fs/promises';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fetch } from 'undici';
import { Emulator, type EmulatorOptions } from '../../src/emulator/emulator.ts';
import { ask, Client, post, untilIdle } from './client.ts';
import { picture, upload } from './fixtures.ts';

let nonce = 0;

function sleeper(seconds: number, ticks = 20): object {
  return {
    1: { class_type: 'LoadImage', inputs: { image: 'in.png' } },
    2: { class_type: 'EmulatorSleep', inputs: { image: ['1', 0], seconds, ticks, nonce: nonce++ } },
    3: { class_type: 'SaveImage', inputs: { images: ['2', 0], filename_prefix: 'out' } },
  };
}

async function start(t: TestContext, options: EmulatorOptions = {}): Promise<Emulator> {
  const emulator = await Emulator.start(options);
  t.after(() => emulator.close());
  await upload(emulator.url, { name: 'in.png', content: await picture(48, 32) });
  return emulator;
}

async function submit(emulator: Emulator, prompt: object, client?: Client): Promise<string> {
  const body = { prompt, ...(client ? { client_id: client.id } : {}) };
  const { status, json, text } = await post(`${emulator.url}/prompt`, body);
  assert.equal(status, 200, text);
  return json.prompt_id;
}

async function statusOf(emulator: Emulator, id: string) {
  const { json } = await ask(`${emulator.url}/history/${id}`);
  return json[id]?.status;
}

test('counts what ran, and how it ended', async (t) => {
  const emulator = await start(t);
  const good = await submit(emulator, sleeper(0));
  await untilIdle(emulator.url);
  emulator.faults.failNode('EmulatorSleep', 'boom');
  const bad = await submit(emulator, sleeper(0));
  await untilIdle(emulator.url);
  const seen = emulator.runs.map(({ id, status }) => [id, status]);
  assert.deepEqual(seen, [
    [good, 'success'],
    [bad, 'error'],
  ]);
  assert.ok(emulator.runs.every(({ startedAt, endedAt }) => (endedAt ?? 0) >= startedAt));
});

test('runs out of memory as often as it is told', async (t) => {
  const emulator = await start(t);
  emulator.faults.runOutOfMemory(2);
  const ids: string[] = [];
  for (let round = 0; round < 3; round++) ids.push(await submit(emulator, sleeper(0)));
  await untilIdle(emulator.url);
  const ends = await Promise.all(ids.map((id) => statusOf(emulator, id)));
  assert.deepEqual(
    ends.map((end) => end.status_str),
    ['error', 'error', 'success'],
  );
  const [event, data] = ends[0].messages.at(-1);
  assert.deepEqual([event, data.exception_type], ['execution_error', 'torch.OutOfMemoryError']);
  assert.equal(data.node_type, 'EmulatorSleep');
});

test('drops its sockets without a word', async (t) => {
  const emulator = await start(t);
  await using client = await Client.open(emulator.url);
  emulator.faults.dropSockets();
  while (client.isOpen) await sleep(5);
  await using again = await Client.open(emulator.url);
  assert.ok(again.isOpen);
});

test('says nothing over a muted socket, and runs all the same', async (t) => {
  const emulator = await start(t);
  await using client = await Client.open(emulator.url);
  emulator.faults.muteSockets(true);
  const id = await submit(emulator, sleeper(0), client);
  await untilIdle(emulator.url);
  assert.equal((await statusOf(emulator, id)).completed, true);
  assert.deepEqual([client.isOpen, client.messages.length], [true, 1]);
  emulator.faults.muteSockets(false);
  const next = await submit(emulator, sleeper(0), client);
  await client.untilEnd(next);
});

test('hangs while it is stalled, interrupts included', async (t) => {
  const emulator = await start(t);
  await using client = await Client.open(emulator.url);
  const id = await submit(emulator, sleeper(60, 600), client);
  await client.until(({ type }) => type === 'progress');
  emulator.faults.stall(true);
  await post(`${emulator.url}/interrupt`, { prompt_id: id });
  await sleep(300);
  assert.equal(emulator.runs[0]?.status, 'running');
  emulator.faults.stall(false);
  await client.untilEnd(id);
  assert.equal(emulator.runs[0]?.status, 'interrupted');
});

test('loses its history, and nothing else', async (t) => {
  const emulator = await start(t);
  const id = await submit(emulator, sleeper(0));
  await untilIdle(emulator.url);
  emulator.faults.loseHistory();
  assert.equal(await statusOf(emulator, id), undefined);
  const file = await ask(`${emulator.url}/view?filename=out_00001_.png`);
  assert.equal(file.status, 200);
});

test('restarts with its files and without its memory', async (t) => {
  const emulator = await start(t);
  await using client = await Client.open(emulator.url);
  const done = await submit(emulator, sleeper(0), client);
  await client.untilEnd(done);
  await submit(emulator, sleeper(60, 600), client);
  await submit(emulator, sleeper(0), client);
  await client.until(({ type, data }) => type === 'progress' && data.prompt_id !== done);
  const { url } = emulator;
  const restarted = emulator.faults.restart({ refuseMs: 300 });
  await sleep(150);
  await assert.rejects(fetch(`${url}/queue`));
  await restarted;
  assert.equal(emulator.url, url);
  assert.equal(client.isOpen, false);
  assert.deepEqual((await ask(`${url}/queue`)).json, { queue_running: [], queue_pending: [] });
  assert.deepEqual((await ask(`${url}/history`)).json, {});
  assert.deepEqual(
    emulator.runs.map(({ status }) => status),
    ['success', 'lost'],
  );
  assert.equal((await ask(`${url}/view?filename=out_00001_.png`)).status, 200);
  const again = await post(`${url}/prompt`, { prompt: sleeper(0) });
  assert.equal(again.json.number, 0);
  await untilIdle(url);
});

test('is wedged until it restarts', async (t) => {
  const emulator = await start(t);
  emulator.faults.wedge();
  await submit(emulator, sleeper(0));
  await sleep(100);
  const { json } = await ask(`${emulator.url}/queue`);
  assert.deepEqual([json.queue_running.length, json.queue_pending.length], [0, 1]);
  await emulator.faults.restart();
  await submit(emulator, sleeper(0));
  await untilIdle(emulator.url);
});

test('answers late, but acts at once', async (t) => {
  const emulator = await start(t);
  emulator.faults.slow({ ms: 4_000 });
  const sent = post(`${emulator.url}/prompt`, { prompt: sleeper(0) });
  const startedAt = Date.now();
  while (emulator.runs.length === 0) await sleep(5);
  assert.ok(Date.now() - startedAt < 3_000);
  await sent;
  assert.ok(Date.now() - startedAt >= 3_900);
});

test('breaks a download off halfway', async (t) => {
  const emulator = await start(t);
  emulator.faults.truncateViews();
  const url = `${emulator.url}/view?filename=in.png&type=input`;
  const broken = await fetch(url);
  const length = Number(broken.headers.get('content-length'));
  await assert.rejects(broken.arrayBuffer());
  const whole = await fetch(url);
  assert.equal((await whole.arrayBuffer()).byteLength, length);
});

test('wedges itself over one number and one id, behind another prompt', async (t) => {
  const emulator = await start(t);
  const first = await submit(emulator, sleeper(0.3));
  const twin = { prompt: sleeper(0), number: 5, prompt_id: 'twin' };
  await submit(emulator, sleeper(0));
  const statuses: number[] = [];
  for (let round = 0; round < 3; round++)
    statuses.push((await post(`${emulator.url}/prompt`, twin)).status);
  assert.ok(statuses.includes(500), String(statuses));
  while ((await statusOf(emulator, first)) === undefined) await sleep(10);
});

test('forgets cached nodes on demand', async (t) => {
  const emulator = await start(t);
  await using client = await Client.open(emulator.url);
  const prompt = sleeper(0);
  const cachedNodes = async () => {
    const from = client.messages.length;
    await client.untilEnd(await submit(emulator, prompt, client), from);
    return client.messages.slice(from).find(({ type }) => type === 'execution_cached')?.data.nodes;
  };
  assert.deepEqual(await cachedNodes(), []);
  assert.deepEqual(await cachedNodes(), ['1', '2', '3']);
  await post(`${emulator.url}/free`, { free_memory: true });
  assert.deepEqual(await cachedNodes(), []);
});

test('refuses a body past its limit while it is still being sent', async (t) => {
  const emulator = await start(t, { maxUploadBytes: 1024 * 1024 });
  const fits = await upload(emulator.url, { name: 'a.bin', content: Buffer.alloc(1024 * 1024) });
  assert.equal(fits.status, 200, 'the form around the content does not count');
  const big = await upload(emulator.url, { name: 'b.bin', content: Buffer.alloc(8 * 1024 * 1024) });
  assert.equal(big.status, 413);
  assert.match(big.text, /^Maximum request body size 1048576 exceeded, actual body size \d+$/);
  const prompt = await post(`${emulator.url}/prompt`, { filler: 'x'.repeat(1024 * 1024) });
  assert.equal(prompt.status, 413);
});

test('leaves nothing behind', async () => {
  const emulator = await Emulator.start();
  await upload(emulator.url, { name: 'in.png', content: await picture(48, 32) });
  const socket = await Client.open(emulator.url);
  await submit(emulator, sleeper(60), socket);
  const { url, dataDir } = emulator;
  await emulator.close();
  await assert.rejects(access(path.join(dataDir)));
  await assert.rejects(fetch(`${url}/queue`));
  assert.equal(emulator.runs[0]?.status, 'lost');
});

test('stops with the process that started it', { timeout: 20_000 }, async () => {
  const { fork } = await import('node:child_process');
  const program = new URL('../../src/emulator/main.ts', import.meta.url);
  const child = fork(program, ['--port', '0'], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  const [message] = await once(child, 'message');
  assert.match(message.listening, /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.equal((await ask(`${message.listening}/queue`)).status, 200);
  child.disconnect();
  const [code] = await once(child, 'exit');
  assert.equal(code, 0);
});
