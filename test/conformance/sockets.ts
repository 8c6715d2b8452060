import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { Client, post, untilIdle } from './client.ts';
import { type Subject, situation } from './subject.ts';
import { recording } from './transcript.ts';

// biome-ignore lint/suspicious/noExplicitAny: as recorded
const kinds: { kind: string; type: string; data: any }[] = recording('message-kinds');

function sleeper(seconds: number): object {
  return {
    1: { class_type: 'LoadImage', inputs: { image: 'in96.png' } },
    2: {
      class_type: 'EmulatorSleep',
      inputs: { image: ['1', 0], seconds, ticks: 20, nonce: Date.now() },
    },
    3: { class_type: 'PreviewImage', inputs: { images: ['2', 0] } },
  };
}

export function testSockets(subject: () => Subject): void {
  const timed = { classes: ['EmulatorSleep'] };

  situation('is greeted with the state of the queue and its id', {}, subject, async () => {
    const { url } = subject();
    for (const path of ['/ws', '/api/ws']) {
      await using client = await Client.open(url, 'a b/c', path);
      assert.deepEqual(client.messages[0], {
        type: 'status',
        data: { status: { exec_info: { queue_remaining: 0 } }, sid: 'a b/c' },
      });
    }
    await using nameless = await Client.open(url, '');
    assert.match(nameless.messages[0]?.data.sid, /^[0-9a-f]{32}$/);
  });

  situation('is answered its feature flags, if they come first', {}, subject, async () => {
    const { url } = subject();
    await using client = await Client.open(url);
    client.send({ type: 'feature_flags', data: { supports_preview_metadata: true } });
    const { data } = await client.until(({ type }) => type === 'feature_flags');
    const recorded = kinds.find(({ kind }) => kind === 'feature_flags')?.data;
    for (const key of Object.keys(recorded)) assert.ok(key in data, key);

    await using early = await Client.open(url);
    early.send(['junk']);
    early.send({ type: 'feature_flags', data: {} });
    await early.until(({ type }) => type === 'feature_flags');

    await using late = await Client.open(url);
    late.send({ type: 'other' });
    late.send({ type: 'feature_flags', data: {} });
    await sleep(200);
    assert.deepEqual([late.isOpen, late.messages.length], [true, 1]);
  });

  situation('is refused to the web pages of others', {}, subject, async () => {
    const socket = new WebSocket(`${subject().url.replace('http', 'ws')}/ws?clientId=zz`, {
      origin: 'http://evil.example',
    });
    const error = await new Promise<Error>((resolve) => socket.once('error', resolve));
    assert.match(error.message, /403/);
  });

  situation(
    'that comes back hears which node runs, and from then on everything',
    timed,
    subject,
    async () => {
      const { url } = subject();
      const id = crypto.randomUUID();
      const first = await Client.open(url, id);
      const { json } = await post(`${url}/prompt`, { prompt: sleeper(2), client_id: id });
      await first.until(({ type }) => type === 'progress');
      await first[Symbol.asyncDispose]();
      await sleep(200);
      await using second = await Client.open(url, id);
      const { data } = await second.until(({ type }) => type === 'executing');
      assert.deepEqual(data, { node: '2' }, 'without the id of the prompt');
      await second.untilEnd(json.prompt_id);
      assert.ok(second.messages.some(({ type }) => type === 'execution_success'));
    },
  );

  situation('falls silent for good when an older one of its id dies', timed, subject, async () => {
    const { url } = subject();
    const id = crypto.randomUUID();
    await using older = await Client.open(url, id);
    await using newer = await Client.open(url, id);
    older.terminate();
    await sleep(300);
    const heard = newer.messages.length;
    await post(`${url}/prompt`, { prompt: sleeper(0), client_id: id });
    await untilIdle(url);
    await sleep(300);
    assert.deepEqual([newer.isOpen, newer.messages.length], [true, heard]);
  });
}
