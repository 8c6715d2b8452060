import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';

const run = new URL('../src/run.ts', import.meta.url).href;
const logger = new URL('../src/telemetry/logger.ts', import.meta.url).href;

describe('an error that nobody caught', () => {
  const crash = (main: string) => {
    const program = `
      import { run } from '${run}';
      import { createLogger } from '${logger}';
      setInterval(() => {}, 1_000);
      await run(${main});`;
    const args = ['--input-type=module', '--eval', program];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    return { status, lines: (stdout + stderr).trimEnd().split('\n') };
  };

  it('ends the gateway with one line of its log', () => {
    const { status, lines } = crash(`async (logTo) => {
      logTo(createLogger('info'));
      setImmediate(() => null.write());
    }`);
    assert.equal(status, 1);
    assert.equal(lines.length, 1);
    const { level, msg, reason, at } = JSON.parse(lines[0] ?? '');
    assert.deepEqual([level, msg], ['fatal', 'process.crashed']);
    assert.match(reason, /^TypeError: Cannot read properties of null/);
    assert.match(at, /eval/);
  });

  it('ends a program without a log with one line, also when it is a rejection', () => {
    const { status, lines } = crash(`async () => {
      void Promise.reject(new Error('first\\nvalues', { cause: new Error('second') }));
    }`);
    assert.equal(status, 1);
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? '', /nobody caught: Error: first \(second\)/);
    assert.doesNotMatch(lines[0] ?? '', /values/);
  });

  it('is cut between characters where it is long', () => {
    const { lines } = crash(`async (logTo) => {
      logTo(createLogger('info'));
      setImmediate(() => { throw new Error('x' + '\u{1f600}'.repeat(400)); });
    }`);
    const { reason } = JSON.parse(lines[0] ?? '');
    assert.equal(reason, `Error: x${'\u{1f600}'.repeat(299)}`);
  });
});
