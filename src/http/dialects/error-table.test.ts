import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { errorMeanings } from '../../core/error-meanings.ts';
import { type ErrorCode, errorCodes, GatewayError } from '../../core/errors.ts';
import { dialects } from './index.ts';

const page = new URL('../../../docs/errors.md', import.meta.url);
const head = '| code | status | Image Upscale Service | it means |\n|---|---|---|---|\n';

const byName = new Map(dialects.map((dialect) => [dialect.name, dialect]));

/** These end a task, and answer no request. */
const endsTasks: ReadonlySet<ErrorCode> = new Set([
  'target_failed',
  'queue_timeout',
  'run_timeout',
  'backend_unreachable',
  'backend_failed',
  'backend_stalled',
  'backend_wedged',
  'backend_upload_refused',
  'prompt_rejected',
  'prompt_lost',
  'execution_failed',
  'execution_interrupted',
  'out_of_memory',
  'output_missing',
  'output_truncated',
  'output_broken',
  'outputs_too_many',
  'task_poisonous',
  'source_lost',
  'attempts_exhausted',
]);

function answer(dialect: string, code: ErrorCode) {
  const presented = byName.get(dialect)?.presentError(new GatewayError(code, 'It is so'));
  assert.ok(presented, dialect);
  return presented;
}

function row(code: ErrorCode): string {
  const { status } = answer('tmlsr', code);
  const own = answer('upscale', code);
  const words = own.body.code === code ? [] : [`\`${own.body.code}\``];
  if (own.status !== status) words.push(String(own.status));
  return `| \`${code}\` | ${endsTasks.has(code) ? '' : status} | ${words.join(' ')} | ${errorMeanings[code]} |`;
}

describe('docs/errors.md', () => {
  it('lists every code as it is answered', () => {
    const text = readFileSync(page, 'utf8');
    const before = text.slice(0, text.indexOf(head));
    const wanted = `${before}${head}${errorCodes.map(row).join('\n')}\n`;
    if (process.env.UPDATE_GOLDEN) writeFileSync(page, wanted);
    else assert.equal(text, wanted);
  });

  it('says true of the dialects that tell no code', () => {
    for (const code of errorCodes) {
      for (const name of ['task-manager', 'uformer']) {
        const { status, body } = answer(name, code);
        assert.deepEqual([status, Object.keys(body)], [answer('tmlsr', code).status, ['detail']]);
      }
    }
  });

  it('has a sentence for each code', () => {
    for (const code of errorCodes) assert.match(errorMeanings[code], /^[A-Z`].*\.$/, code);
  });
});
