import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readArguments, UsageError } from './arguments.ts';

const options = {
  backend: { type: 'string', multiple: true },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

describe('readArguments', () => {
  it('reads what is there', () => {
    const args = ['--backend', 'a', 'FILE', '--backend=b', '-h'];
    const { values, positionals } = readArguments('x', { args, options, allowPositionals: true });
    assert.deepEqual({ ...values }, { backend: ['a', 'b'], help: true });
    assert.deepEqual(positionals, ['FILE']);
  });

  it('names the argument that is wrong', () => {
    const wrongs: [args: string[], problem: string][] = [
      [['--bakend', 'a'], 'there is no option --bakend; did you mean "--backend"?'],
      [['--zzz'], 'there is no option --zzz'],
      [['-x'], 'there is no option -x'],
      [['--backend'], '--backend needs a value'],
      [['--backend', '--json'], '--backend needs a value'],
      [['--json=yes'], '--json takes no value'],
      [['--help=yes'], '--help takes no value'],
      [['FILE'], 'it takes no argument "FILE"'],
    ];
    for (const [args, problem] of wrongs) {
      assert.throws(
        () => readArguments('tmlsr x', { args, options }),
        (error) => {
          assert.ok(error instanceof UsageError);
          assert.equal(error.message, `tmlsr x: ${problem}\nSee tmlsr x --help`);
          return true;
        },
      );
    }
  });
});
