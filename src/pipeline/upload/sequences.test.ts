import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { testTempo } from '../../../test/support/tempo.ts';
import type { ServerFile } from '../../comfyui/messages.ts';
import { GatewayError } from '../../core/errors.ts';
import type { WorkflowOutput } from '../../core/workflow.ts';
import type { ResultFile } from '../process/result-files.ts';
import { wholeSequences } from './sequences.ts';

const { signal } = new AbortController();
const maxOutputs = 1_200;

function output(name: string): WorkflowOutput {
  return { name, kind: 'image', node: '1', prefixField: null, pictures: null };
}

function result(filename: string, of = output('result')): ResultFile {
  const file = { node: '1', filename, subfolder: 's', type: 'output' };
  return { output: of, index: 0, file, text: null };
}

/** A server with so many pictures, which fails at first. */
function server(count: number, failures = 0) {
  let left = failures;
  const asked: string[] = [];
  const fileSize = async ({ filename }: ServerFile) => {
    asked.push(filename);
    left -= 1;
    if (left >= 0) throw new GatewayError('backend_unreachable', 'It does not answer');
    const number = Number(/\.(\d+)\.png$/.exec(filename)?.[1]);
    return number >= 1 && number <= count ? 1 : null;
  };
  return { client: { fileSize }, maxOutputs, tempo: testTempo, asked };
}

describe('wholeSequences', () => {
  it('finds every picture, with few requests', async () => {
    for (const count of [1, 2, 3, 7, 8, 9, 999, 1_000, 1_200]) {
      const parts = server(count);
      const whole = await wholeSequences(parts, [result('a.%03d.png')], signal);
      assert.equal(whole.length, count);
      assert.deepEqual(
        whole.map(({ index }) => index),
        whole.map((_, index) => index),
      );
      const padded = String(count).padStart(3, '0');
      assert.equal(whole.at(-1)?.file?.filename, `a.${padded}.png`);
      assert.ok(parts.asked.length <= 24, `${parts.asked.length} requests for ${count}`);
    }
  });

  it('leaves other files alone, and a name that only looks so', async () => {
    const plain = [result('a.png'), { ...result('a'), file: null, text: 'shown' }];
    const parts = server(3);
    assert.equal(await wholeSequences(parts, plain, signal), plain);
    assert.deepEqual(parts.asked, []);
    const alike = await wholeSequences(server(0), [result('100%03d.png')], signal);
    assert.deepEqual(
      alike.map(({ file }) => file?.filename),
      ['100%03d.png'],
    );
  });

  it('numbers the pictures of each output by themselves', async () => {
    const [one, other] = [output('one'), output('other')];
    const whole = await wholeSequences(
      server(2),
      [result('a.%03d.png', one), result('b.%03d.png', other)],
      signal,
    );
    assert.deepEqual(
      whole.map((each) => `${each.output.name} ${each.index}`),
      ['one 0', 'one 1', 'other 0', 'other 1'],
    );
  });

  it('asks again where its server does not answer, and refuses too many', async () => {
    assert.equal((await wholeSequences(server(2, 1), [result('a.%03d.png')], signal)).length, 2);
    await assert.rejects(wholeSequences(server(9_999), [result('a.%03d.png')], signal), {
      code: 'outputs_too_many',
    });
  });
});
