import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createLogger } from './logger.ts';
import { terminalLog } from './terminal-log.ts';

/** What stands on the terminal, without the time of the day. */
function shown(fields: object, msg: string, hasColours = false): string {
  let text = '';
  const out = {
    write: (more: string) => {
      text += more;
    },
  };
  createLogger('info', terminalLog(out, hasColours)).warn(fields, msg);
  assert.match(text, /^\d\d:\d\d:\d\d /);
  return text.slice(9);
}

describe('terminalLog', () => {
  it('writes an event and what is told of it', () => {
    const fields = { backend: 'http://10.0.0.1:8188', reason: 'not reached', tries: 3, to: null };
    assert.equal(
      shown(fields, 'backend.unreachable'),
      'WARN  backend.unreachable backend=http://10.0.0.1:8188 reason="not reached" tries=3 to=null\n',
    );
  });

  it('writes the stack of an error, and that of its cause, below it', () => {
    const text = shown({ err: new Error('away', { cause: new TypeError('cut') }) }, 'a.failed');
    assert.match(text, /^WARN {2}a\.failed\n {4}Error: away\n {8}at /);
    assert.match(text, /\n {4}caused by:\n {4}TypeError: cut\n/);
  });

  it('lets nothing that was sent move the cursor or begin a line', () => {
    const text = shown({ name: 'a\u001b[2J\u009bb\nINFO', err: new Error('\u009b2J') }, 'a.told');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for.
    assert.doesNotMatch(text.replaceAll('\n', ''), /[\u0000-\u001f\u007f-\u009f]/);
    assert.ok(text.includes('name="a\\u001b[2J\\u009bb\\nINFO"'));
  });

  it('has colours where the terminal has', () => {
    assert.equal(shown({}, 'a.told', true), '\u001b[33mWARN \u001b[0m a.told\n');
  });
});
