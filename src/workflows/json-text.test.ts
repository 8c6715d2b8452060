import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { GatewayError } from '../core/errors.ts';
import { parseJsonText } from './json-text.ts';

function refusal(text: string): string {
  try {
    parseJsonText(text);
  } catch (error) {
    assert.ok(error instanceof GatewayError && error.code === 'workflow_invalid');
    return error.message;
  }
  assert.fail('It was not refused');
}

describe('parseJsonText', () => {
  it('reads JSON, a byte order mark before it or not', () => {
    assert.deepEqual(parseJsonText('{"a": [1, "\\u00e9"]}'), { a: [1, 'é'] });
    assert.deepEqual(parseJsonText('\uFEFF{"a": null}'), { a: null });
  });

  const broken: readonly [text: string, message: RegExp][] = [
    ['', /it ends too early at line 1, column 1$/],
    ['{"1": ', /it ends too early at line 1, column 7$/],
    ['{\n  "a": 1,\n}', /unexpected } at line 3, column 1$/],
    ['{\n  "a": nope\n}', /unexpected nope at line 2, column 8$/],
    ['{\r\n "a": 01}', /unexpected 1} at line 2, column 8$/],
    ['{"a" 1}', /unexpected 1} at line 1, column 6$/],
    ["{'a': 1}", /unexpected 'a': at line 1, column 2$/],
    ['[1 2]', /unexpected 2] at line 1, column 4$/],
    ['[1}', /unexpected } at line 1, column 3$/],
    ['{"a": "half', /a broken text at line 1, column 7$/],
    ['{"a": "x\ny"}', /a broken text at line 1, column 7$/],
    ['{"a": "\\x"}', /a broken text at line 1, column 7$/],
    ['{} {}', /unexpected {} at line 1, column 4$/],
    ['<html>', /unexpected <html> at line 1, column 1$/],
    ['{"a": -}', /unexpected -} at line 1, column 7$/],
    ['[1, NaN]', /unexpected NaN] at line 1, column 5$/],
  ];
  for (const [text, message] of broken) {
    it(`says where ${JSON.stringify(text)} stops to be JSON`, () => {
      assert.match(refusal(text), message);
    });
  }

  it('refuses what the database cannot keep', () => {
    assert.match(refusal('{"a": "x\\u0000"}'), /NUL/);
    assert.match(refusal('{"\\ud800": 1}'), /surrogate/);
    assert.deepEqual(parseJsonText('"\\\\u0000"'), '\\u0000');
  });

  it('finds the fault behind anything that is JSON', () => {
    const json = fc.json().map((text) => `[${text},\n`);
    fc.assert(
      fc.property(json, (text) => {
        const line = text.split('\n').length;
        assert.match(
          refusal(`${text}?]`),
          new RegExp(`unexpected \\?] at line ${line}, column 1$`),
        );
      }),
    );
  });

  it('finds the fault of every half-written file', () => {
    const whole = JSON.stringify({
      '1': { class_type: 'X', inputs: { a: [-1.5e3, true, 'é\n'] } },
    });
    for (let length = 0; length < whole.length; length++) {
      assert.match(
        refusal(whole.slice(0, length)),
        /^The file is not JSON: .* at line 1, column \d+$/,
      );
    }
  });

  it('refuses keys that mean something to the language, wherever they stand', () => {
    assert.match(refusal('{"__proto__": {}}'), /a key named "__proto__"/);
    assert.match(refusal('{"1": {"inputs": [{"__proto__": 1}]}}'), /a key named "__proto__"/);
    assert.deepEqual(parseJsonText('{"constructor": 1}'), { constructor: 1 });
  });

  it('refuses what is nested without end, and takes its time with nothing', () => {
    const depth = 1_000_000;
    assert.match(refusal(`${'['.repeat(depth)}${']'.repeat(depth)}`), /deeper than 64 levels/);
    assert.match(refusal('['.repeat(depth)), /deeper than 64 levels/);
    assert.match(refusal('['.repeat(50)), /ends too early at line 1, column 51$/);
    assert.match(refusal(`"${'x'.repeat(4 * depth)}`), /a broken text at line 1, column 1$/);
    assert.match(refusal(`"${'\\n'.repeat(2 * depth)}`), /a broken text at line 1, column 1$/);
  });
});
