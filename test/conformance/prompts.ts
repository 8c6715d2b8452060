import assert from 'node:assert/strict';
import { ask, post, untilIdle } from './client.ts';
import { isNewer, type Subject, situation } from './subject.ts';
import { recording } from './transcript.ts';

interface ValidationCase {
  readonly case: string;
  readonly status: number;
  readonly contentType: string;
  readonly request?: { prompt?: Record<string, { class_type?: string }> };
  readonly body?: string;
  // biome-ignore lint/suspicious/noExplicitAny: as recorded
  readonly response: any;
}

/** What ComfyUI 0.33.0 answers another way. */
const newerAnswers: Record<string, string> = {
  'bad node class': '400 missing_node_type',
  'missing class_type': '400 missing_node_type',
  'V3 combo value not in list (UpscaleModelLoader.model_name)':
    '400 prompt_outputs_failed_validation',
  'prompt is a list': '500',
  'UI-format workflow instead of API format': '500',
};

/** Of these, the ones that the emulator answers in the newer way, too. */
const emulated: ReadonlySet<string> = new Set([
  'V3 combo value not in list (UpscaleModelLoader.model_name)',
]);

const cases: ValidationCase[] = recording('prompt-validation');

export function testPrompts(subject: () => Subject): void {
  for (const each of cases) {
    const used = Object.values(each.request?.prompt ?? {}).map((node) => node?.class_type);
    const classes = used.filter((name) => name !== undefined && name !== 'NoSuchNode');
    situation(
      `answers as recorded: ${each.case}`,
      { classes: classes as string[] },
      subject,
      async () => {
        const { url, faults } = subject();
        const answer = await post(`${url}/prompt`, each.body ?? each.request);
        const seen = summary(answer.status, answer.json);
        const recorded = summary(each.status, each.response);
        if (isNewer(subject, seen, recorded, newerAnswers[each.case])) return;
        if (faults !== null && emulated.has(each.case)) {
          assert.equal(seen, newerAnswers[each.case]);
          return;
        }
        assert.equal(answer.status, each.status, answer.text);
        assert.equal(answer.headers['content-type'], each.contentType);
        if (typeof each.response === 'string') {
          assert.equal(answer.text, each.response);
        } else if (faults !== null) {
          // The emulator says the same words, all of them.
          assert.deepEqual(comparable(answer.json), comparable(each.response));
        } else if (each.case !== 'cycle') {
          // Where in a cycle Python gives up depends on the order of a set.
          assert.deepEqual(kindOf(answer.json), kindOf(each.response));
        }
        await post(`${url}/queue`, { clear: true });
        await untilIdle(url);
      },
    );
  }

  situation(
    'numbers prompts, refused ones too, and takes the id it is given',
    {},
    subject,
    async () => {
      const { url } = subject();
      const prompt = {
        1: { class_type: 'LoadImage', inputs: { image: 'in96.png' } },
        2: { class_type: 'PreviewImage', inputs: { images: ['1', 0] } },
      };
      const id = crypto.randomUUID();
      const first = await post(`${url}/prompt`, { prompt, prompt_id: id });
      assert.equal(first.json.prompt_id, id);
      assert.equal((await post(`${url}/prompt`, { prompt: {} })).status, 400);
      const second = await post(`${url}/prompt`, { prompt });
      assert.equal(second.json.number, first.json.number + 2);
      assert.match(second.json.prompt_id, /^[0-9a-f-]{36}$/);
      const front = await post(`${url}/prompt`, { prompt, front: true });
      assert.equal(front.json.number, -(first.json.number + 3));
      await untilIdle(url);
    },
  );

  situation('runs only the outputs that were asked for', {}, subject, async () => {
    const { url } = subject();
    const prompt = {
      1: { class_type: 'LoadImage', inputs: { image: 'in96.png' } },
      8: { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: 'gw/p8' } },
      9: {
        class_type: 'SaveImage',
        inputs: { images: ['1', 0], filename_prefix: `gw/p9-${Date.now()}` },
      },
    };
    const { json } = await post(`${url}/prompt`, { prompt, partial_execution_targets: ['9'] });
    await untilIdle(url);
    const { json: history } = await ask(`${url}/history/${json.prompt_id}`);
    assert.deepEqual(history[json.prompt_id].prompt[4], ['9']);
    assert.deepEqual(Object.keys(history[json.prompt_id].outputs), ['9']);
    for (const targets of [[], ['77']]) {
      const refused = await post(`${url}/prompt`, { prompt, partial_execution_targets: targets });
      assert.deepEqual([refused.status, refused.json.error.type], [400, 'prompt_no_outputs']);
    }
  });

  situation('keeps extra data, but for the secrets that it knows', {}, subject, async () => {
    const { url } = subject();
    const prompt = {
      1: { class_type: 'LoadImage', inputs: { image: 'in96.png' } },
      2: { class_type: 'PreviewImage', inputs: { images: ['1', 0] } },
    };
    const extra_data = {
      gw: { job: 'j1' },
      auth_token_comfy_org: 'a',
      api_key_comfy_org: 'b',
      my: 'c',
    };
    const { json } = await post(`${url}/prompt`, { prompt, extra_data, client_id: 'nobody' });
    await untilIdle(url);
    const { json: history } = await ask(`${url}/history/${json.prompt_id}`);
    const { create_time: _, ...kept } = history[json.prompt_id].prompt[3];
    assert.deepEqual(kept, { gw: { job: 'j1' }, my: 'c', client_id: 'nobody' });
    const text = await post(`${url}/prompt`, { prompt, extra_data: 'x', client_id: 'nobody' });
    assert.equal(text.status, 500);
  });
}

function summary(status: number, answer: { error?: { type: string } } | undefined): string {
  return `${status} ${answer?.error?.type ?? ''}`.trim();
}

/** Without what differs from one server and one run to the next. */
function comparable(response: unknown): unknown {
  return JSON.parse(JSON.stringify(response), (key, value) => {
    if (key === 'prompt_id') return 'id';
    if (key === 'number') return 0;
    return key === 'traceback' ? [] : value;
  });
}

/** Error types, and where they stand. */
// biome-ignore lint/suspicious/noExplicitAny: an answer
function kindOf({ error, node_errors, ...rest }: any): object {
  const nodes = Object.entries<{ errors: { type: string }[]; dependent_outputs: string[] }>(
    node_errors,
  );
  return {
    keys: Object.keys(rest).toSorted(),
    error: error?.type,
    nodes: nodes.map(([id, { errors, dependent_outputs }]) => [
      id,
      errors.map(({ type }) => type).toSorted(),
      dependent_outputs.toSorted(),
    ]),
  };
}
