import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { readAnswer } from '../../../src/comfyui/answer.ts';
import { LongAnswers } from '../../../src/comfyui/long-answers.ts';
import {
  endedPrompt,
  features,
  history,
  jobCanceled,
  jobList,
  nodeCatalogue,
  parseMessage,
  promptAccepted,
  promptEnd,
  promptRefused,
  queueState,
  systemStats,
  uploadedFile,
} from '../../../src/comfyui/messages.ts';
import { shortcomings } from '../../../src/core/capabilities.ts';
import { GatewayError } from '../../../src/core/errors.ts';
import { classes } from '../../../src/emulator/object-info.ts';
import { resultFiles } from '../../../src/pipeline/process/result-files.ts';
import { mutatedJson, mutatedText, oddText, oddValue } from '../mutate.ts';
import { type FuzzTarget, orRefusal, target } from '../target.ts';

const folder = join(import.meta.dirname, '../../recordings');
const recordings: unknown[] = readdirSync(folder)
  .filter((name) => name.endsWith('.json'))
  .toSorted()
  .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')));

/** Everything in the recordings that has such a field. */
function holding(field: string): Record<string, unknown>[] {
  const found: Record<string, unknown>[] = [];
  const open = [...recordings];
  for (const value of open) {
    if (typeof value !== 'object' || value === null) continue;
    if (Object.hasOwn(value, field)) found.push(value as Record<string, unknown>);
    for (const each of Object.values(value)) open.push(each);
  }
  return found;
}

const messages = holding('type').filter(({ data }) => data !== undefined);
const histories = holding('outputs')
  .filter(({ status }) => status !== undefined)
  .map((entry) => ({ p: entry }));
const answers = [
  ...[...holding('node_errors'), { queue_running: [[0, 'p', {}]], queue_pending: [] }],
  ...[{ name: 'a.png', subfolder: 'b', type: 'input' }, { max_upload_size: 1 }, { jobs: [] }],
  ...[{ cancelled: true }, { prompt_id: 'p', number: 1, node_errors: {} }],
  {
    system: { comfyui_version: '1' },
    devices: [{ name: 'cuda:0', vram_total: 1, vram_free: 1 }],
  },
];
const schemas = [
  ...[features, jobCanceled, jobList, promptAccepted, promptRefused],
  ...[queueState, systemStats, uploadedFile],
];

const output = {
  name: 'main',
  kind: 'image',
  node: '4',
  prefixField: 'p',
  pictures: null,
} as const;
const promptIds = new Set(messages.map(({ data }) => (data as { prompt_id?: unknown }).prompt_id));
const emulated = Object.fromEntries(classes);
/** A few classes at a time: a whole server's take long to describe. */
const classGroups = Object.keys(emulated).map((name, index, names) => {
  const other = names[(index + 7) % names.length] ?? name;
  return { [name]: emulated[name], [other]: emulated[other] };
});

export const comfyuiTargets: readonly FuzzTarget[] = [
  target('comfyui-messages', 8, {
    cases: fc.oneof(
      { weight: 3, arbitrary: mutatedJson(messages).map((message) => JSON.stringify(message)) },
      mutatedText(messages.slice(0, 40).map((message) => JSON.stringify(message))),
      oddText,
    ),
    check(text) {
      const message = parseMessage(text);
      const ended = message && endedPrompt(message);
      assert.ok(!ended || !promptIds.has(ended) || text.includes(ended));
    },
  }),
  target('histories', 8, {
    cases: fc.tuple(mutatedJson(histories), fc.constantFrom('p', null), fc.nat({ max: 3 })),
    check([value, prefixField, maxOutputs]) {
      const entries = history.safeParse(value).data ?? {};
      for (const entry of Object.values(entries)) {
        const end = promptEnd(entry);
        if (end.kind !== 'success') continue;
        const own = { outputs: [{ ...output, prefixField }] };
        const codes = ['output_missing', 'outputs_too_many'] as const;
        const files = orRefusal(codes, () => resultFiles(own, end.made, 'gw', maxOutputs)) ?? [];
        assert.ok(files.length <= maxOutputs);
        for (const { file } of files) {
          assert.ok(file);
          assert.doesNotMatch(file.filename, /[/\\\0]|^\.{0,2}$/);
          assert.ok(prefixField === null || file.subfolder === 'gw');
        }
      }
    },
  }),
  target('comfyui-answers', 6, {
    cases: fc.oneof({ weight: 3, arbitrary: mutatedJson(answers) }, oddValue),
    check(value) {
      for (const schema of schemas) schema.safeParse(value);
    },
  }),
  target('node-catalogue', 5, {
    cases: fc.tuple(
      fc.oneof({ weight: 5, arbitrary: mutatedJson(classGroups) }, oddValue),
      oddValue,
    ),
    check([info, value]) {
      const catalogue = nodeCatalogue(info);
      for (const { name, inputs } of catalogue.values()) {
        const fields = inputs.map((input) => [input.name, value]);
        const graph = { 1: { class_type: name, inputs: Object.fromEntries(fields) } };
        shortcomings(
          { graph, inputs: [], outputs: [{ ...output, node: '1' }], parameters: [] },
          catalogue,
        );
      }
    },
  }),
  target('answer-reading', 3, {
    cases: fc.record({
      pieces: fc.array(fc.uint8Array({ maxLength: 3_000 }), { maxLength: 12 }),
      declared: fc.oneof(fc.nat({ max: 40_000 }).map(String), oddText, fc.constant(undefined)),
      maxBytes: fc.nat({ max: 20_000 }),
    }),
    async check({ pieces, declared, maxBytes }) {
      const whole = Buffer.concat(pieces);
      const body = Readable.from(pieces.map((piece) => Buffer.from(piece)));
      const headers = { 'content-length': declared };
      const { signal } = new AbortController();
      try {
        const read = readAnswer(
          { statusCode: 200, headers, body },
          maxBytes,
          new LongAnswers(1),
          signal,
        );
        using answer = await read;
        assert.equal(answer.text, whole.toString());
        assert.ok(whole.length <= maxBytes);
      } catch (error) {
        assert.ok(error instanceof GatewayError && error.code === 'backend_failed', String(error));
        assert.ok(Math.max(whole.length, Number(declared) || 0) > maxBytes);
      }
    },
  }),
];
