import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parsePythonJson } from '../../../src/comfyui/json.ts';
import { deepestJson, isTooDeep } from '../../../src/core/json-depth.ts';
import { pythonEquals, pythonNumber } from '../../../src/core/python-values.ts';
import { parseJsonText } from '../../../src/workflows/json-text.ts';
import { mutatedText, oddText, oddValue } from '../mutate.ts';
import { type FuzzTarget, orRefusal, target } from '../target.ts';

const seeds = [
  '{"a": [1, -2.5e3, "x\\"\\\\", null, true], "b": {"c": {}}}',
  '[NaN, -Infinity, {"NaN": "Infinity \\" NaN"}]',
  '"\\u0000\\ud83d\\ude00"',
];

/** JSON of any depth, with texts that look like it. */
const nested = fc
  .array(fc.constantFrom('[', '{"a":', '["]}",', '{"\\"[":1,"":'), { maxLength: 40 })
  .chain((heads) => fc.constantFrom(1, 15, 60).map((times) => close(heads, times)));

function close(heads: readonly string[], times: number): { text: string; depth: number } {
  const all = Array.from({ length: times }, () => heads).flat();
  const tails = all.map((head) => (head.startsWith('[') ? ']' : '}')).toReversed();
  return { text: `${all.join('')}1${tails.join('')}`, depth: all.length };
}

export const jsonTargets: readonly FuzzTarget[] = [
  target('json-depth', 3, {
    cases: fc.oneof(
      nested,
      mutatedText(seeds).map((text) => ({ text, depth: null })),
    ),
    check({ text, depth }) {
      const isDeep = isTooDeep(text);
      if (depth !== null) assert.equal(isDeep, depth > deepestJson);
    },
  }),
  target('json-text', 4, {
    cases: fc.oneof(
      mutatedText(seeds),
      oddText,
      nested.map(({ text }) => text),
    ),
    check(text) {
      const value = orRefusal(['workflow_invalid'], () => parseJsonText(text));
      if (value !== null) assert.deepEqual(value, JSON.parse(text.replace(/^\ufeff/, '')));
    },
  }),
  target('python-json', 4, {
    cases: fc.oneof(
      mutatedText(seeds),
      oddValue.map((value) => JSON.stringify(value)),
      nested.map(({ text }) => text),
    ),
    check(text) {
      let value: unknown;
      try {
        value = parsePythonJson(text);
      } catch (error) {
        assert.ok(error instanceof SyntaxError);
        return;
      }
      // What is JSON by itself means the same.
      let plain: unknown;
      try {
        plain = JSON.parse(text);
      } catch {
        return;
      }
      assert.deepEqual(value, plain);
    },
  }),
  target('python-values', 3, {
    cases: fc.tuple(
      fc.oneof(oddValue, oddText, mutatedText(['1_000.5e-3', '-inf', '٣٤'])),
      oddValue,
    ),
    check([value, other]) {
      const whole = pythonNumber(value, 'INT');
      assert.ok(whole === undefined || Number.isNaN(whole) || !(whole % 1));
      pythonNumber(value, 'FLOAT');
      assert.equal(pythonEquals(value, other), pythonEquals(other, value));
    },
  }),
];
