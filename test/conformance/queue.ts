import assert from 'node:assert/strict';
import { ask, Client, post, untilIdle } from './client.ts';
import { type Subject, situation } from './subject.ts';

let nonce = Date.now();

/** Holds the queue for a time, and is never cached. */
function sleeper(seconds: number, ticks = 20): object {
  return {
    1: { class_type: 'LoadImage', inputs: { image: 'in96.png' } },
    2: { class_type: 'EmulatorSleep', inputs: { image: ['1', 0], seconds, ticks, nonce: nonce++ } },
    3: { class_type: 'PreviewImage', inputs: { images: ['2', 0] } },
  };
}

type Listed = [number, string, object, object, string[]];

export function testQueue(subject: () => Subject): void {
  const needs = { classes: ['EmulatorSleep'] };

  const submit = async (body: object): Promise<{ prompt_id: string; number: number }> => {
    const { status, json, text } = await post(`${subject().url}/prompt`, body);
    assert.equal(status, 200, text);
    return json;
  };
  const running = async (id: string) => {
    for (;;) {
      const { json } = await ask(`${subject().url}/queue`);
      if (json.queue_running.some((item: Listed) => item[1] === id)) return;
    }
  };
  const finish = async (...ids: string[]) => {
    const { url } = subject();
    await post(`${url}/queue`, { clear: true });
    for (const prompt_id of ids) await post(`${url}/interrupt`, { prompt_id });
    await untilIdle(url);
  };

  situation('lists the running prompt and the pending ones, whole', needs, subject, async () => {
    const { url } = subject();
    const prompt = sleeper(20);
    const first = await submit({ prompt, client_id: 'queue' });
    await running(first.prompt_id);
    const second = await submit({ prompt: sleeper(0), client_id: 'queue' });
    const { json } = await ask(`${url}/queue`);
    assert.equal(json.queue_running.length, 1);
    const [number, id, graph, extra, outputs] = json.queue_running[0];
    assert.deepEqual([number, id], [first.number, first.prompt_id]);
    assert.deepEqual([graph, extra.client_id, outputs], [prompt, 'queue', ['3']]);
    assert.deepEqual(
      json.queue_pending.map((item: Listed) => item[1]),
      [second.prompt_id],
    );
    const info = await ask(`${url}/prompt`);
    assert.deepEqual(info.json, { exec_info: { queue_remaining: 2 } });
    await finish(first.prompt_id);
  });

  situation(
    'takes a pending prompt out without a trace, and leaves the running one',
    needs,
    subject,
    async () => {
      const { url } = subject();
      await using client = await Client.open(url);
      const first = await submit({ prompt: sleeper(20), client_id: client.id });
      await running(first.prompt_id);
      const second = await submit({ prompt: sleeper(0), client_id: client.id });
      const third = await submit({ prompt: sleeper(0), client_id: client.id });
      const before = client.messages.length;
      const deleted = await post(`${url}/queue`, { delete: [second.prompt_id] });
      assert.deepEqual([deleted.status, deleted.text], [200, '']);
      await client.until(
        ({ type, data }) => type === 'status' && data.status.exec_info.queue_remaining === 2,
        before,
      );
      for (const id of [first.prompt_id, 'nope']) {
        assert.equal((await post(`${url}/queue`, { delete: [id] })).status, 200);
      }
      const { json } = await ask(`${url}/queue`);
      assert.deepEqual(
        json.queue_running.map((item: Listed) => item[1]),
        [first.prompt_id],
      );
      assert.deepEqual(
        json.queue_pending.map((item: Listed) => item[1]),
        [third.prompt_id],
      );
      await post(`${url}/interrupt`, { prompt_id: first.prompt_id });
      await client.untilEnd(third.prompt_id);
      assert.deepEqual((await ask(`${url}/history/${second.prompt_id}`)).json, {});
      assert.ok(client.messages.every(({ data }) => data.prompt_id !== second.prompt_id));
    },
  );

  situation('is cleared of what is pending only', needs, subject, async () => {
    const { url } = subject();
    const first = await submit({ prompt: sleeper(20) });
    await running(first.prompt_id);
    await submit({ prompt: sleeper(0) });
    await submit({ prompt: sleeper(0) });
    await post(`${url}/queue`, { clear: true });
    const { json } = await ask(`${url}/queue`);
    assert.deepEqual([json.queue_running.length, json.queue_pending.length], [1, 0]);
    await finish(first.prompt_id);
  });

  situation(
    'orders by number, and puts a later front before an earlier one',
    needs,
    subject,
    async () => {
      const { url } = subject();
      await using client = await Client.open(url);
      const first = await submit({ prompt: sleeper(20), client_id: client.id });
      await running(first.prompt_id);
      const names = new Map<string, string>();
      for (const [name, options] of [
        ['plain1', {}],
        ['plain2', {}],
        ['front1', { front: true }],
        ['front2', { front: true }],
        ['number=-1000', { number: -1_000_000 }],
        ['number=0.5', { number: 0.5 }],
        ['number=1e9', { number: 1e9 }],
        ['plain3', {}],
        ["number='3'", { number: '3' }],
      ] as const) {
        const { prompt_id } = await submit({
          prompt: sleeper(0, 1),
          client_id: client.id,
          ...options,
        });
        names.set(prompt_id, name);
      }
      const { json } = await ask(`${url}/queue`);
      const listed = json.queue_pending.map((item: Listed) => item[0]);
      assert.notDeepEqual(
        listed,
        listed.toSorted((a: number, b: number) => a - b),
        'a heap as it lies',
      );
      assert.equal(
        (await post(`${url}/prompt`, { prompt: sleeper(0), number: 'abc' })).status,
        500,
      );
      await post(`${url}/interrupt`, { prompt_id: first.prompt_id });
      await untilIdle(url);
      await client.until(
        ({ type, data }) => type === 'status' && data.status.exec_info.queue_remaining === 0,
        2,
      );
      const order = client.messages
        .filter(({ type, data }) => type === 'execution_start' && names.has(data.prompt_id))
        .map(({ data }) => names.get(data.prompt_id));
      const expected = ['number=-1000', 'front2', 'front1', 'number=0.5', "number='3'"];
      assert.deepEqual(order, [...expected, 'plain1', 'plain2', 'plain3', 'number=1e9']);
    },
  );

  situation('runs one id twice, and remembers the last', needs, subject, async () => {
    const { url } = subject();
    await using client = await Client.open(url);
    const prompt_id = crypto.randomUUID();
    await submit({ prompt: sleeper(0), client_id: client.id, prompt_id });
    const last = await submit({ prompt: sleeper(0), client_id: client.id, prompt_id });
    await untilIdle(url);
    await client.until(
      ({ type, data }) => type === 'status' && data.status.exec_info.queue_remaining === 0,
      3,
    );
    const starts = client.messages.filter(({ type }) => type === 'execution_start');
    assert.equal(starts.length, 2);
    const { json } = await ask(`${url}/history/${prompt_id}`);
    assert.equal(json[prompt_id].prompt[0], last.number);
  });

  situation('interrupts only the prompt that is meant', needs, subject, async () => {
    const { url } = subject();
    await using client = await Client.open(url);
    assert.equal((await post(`${url}/interrupt`, {})).status, 200, 'with nothing running');
    const first = await submit({ prompt: sleeper(0.4, 8), client_id: client.id });
    const second = await submit({ prompt: sleeper(20, 400), client_id: client.id });
    await post(`${url}/interrupt`, { prompt_id: second.prompt_id });
    await client.untilEnd(first.prompt_id);
    const { json: done } = await ask(`${url}/history/${first.prompt_id}`);
    assert.equal(done[first.prompt_id].status.status_str, 'success');
    await running(second.prompt_id);
    await client.until(
      ({ type, data }) => type === 'progress' && data.prompt_id === second.prompt_id,
    );
    await post(`${url}/interrupt`, {});
    await client.untilEnd(second.prompt_id);
    const { json: stopped } = await ask(`${url}/history/${second.prompt_id}`);
    const { status } = stopped[second.prompt_id];
    assert.deepEqual([status.status_str, status.completed], ['error', false]);
    assert.equal(status.messages.at(-1)[0], 'execution_interrupted');
  });

  situation('has its history when the prompt has ended', needs, subject, async () => {
    const { url } = subject();
    await using client = await Client.open(url);
    for (let round = 0; round < 10; round++) {
      const { prompt_id } = await submit({ prompt: sleeper(0, 1), client_id: client.id });
      await client.untilEnd(prompt_id);
      const { json } = await ask(`${url}/history/${prompt_id}`);
      assert.equal(json[prompt_id]?.status.completed, true);
    }
  });

  situation('shows windows of its history, and forgets on demand', {}, subject, async () => {
    const { url } = subject();
    const prompt = {
      1: { class_type: 'LoadImage', inputs: { image: 'in96.png' } },
      2: { class_type: 'PreviewImage', inputs: { images: ['1', 0] } },
    };
    assert.equal((await post(`${url}/history`, { clear: true })).status, 200);
    const ids: string[] = [];
    for (let index = 0; index < 4; index++) ids.push((await submit({ prompt })).prompt_id);
    await untilIdle(url);
    const keys = async (query: string) => Object.keys((await ask(`${url}/history${query}`)).json);
    assert.deepEqual(await keys(''), ids);
    assert.deepEqual(await keys('?max_items=2'), ids.slice(2));
    assert.deepEqual(await keys('?max_items=2&offset=0'), ids.slice(0, 2));
    assert.deepEqual(await keys('?offset=3&max_items=1'), ids.slice(3));
    assert.deepEqual((await ask(`${url}/history/unknown`)).json, {});
    await post(`${url}/history`, { delete: [ids[1], 'unknown'] });
    assert.deepEqual(await keys(''), [ids[0], ids[2], ids[3]]);
  });
}
