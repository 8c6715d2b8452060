import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigError, readConfig } from '../config/config.ts';
import { createLogger } from '../telemetry/logger.ts';
import { checkOpenness } from './openness.ts';

describe('a gateway', () => {
  const keys = { asksForKeys: true };
  const table: [
    env: Record<string, string>,
    what: 'starts' | 'warns' | 'refuses',
    keys?: { readonly asksForKeys: boolean },
  ][] = [
    [{}, 'starts'],
    [{ HOST: 'localhost' }, 'starts'],
    [{ HOST: '127.0.0.9' }, 'starts'],
    [{ HOST: '::1' }, 'starts'],
    [{ HOST: '0.0.0.0' }, 'starts', keys],
    [{ HOST: '::' }, 'starts', keys],
    [{ HOST: '0.0.0.0' }, 'refuses'],
    [{ HOST: '::' }, 'refuses'],
    [{ HOST: '192.168.0.7' }, 'refuses'],
    [{ HOST: '127.evil.example' }, 'refuses'],
    [{ HOST: '0.0.0.0', ALLOW_ANONYMOUS: 'true' }, 'warns'],
  ];
  for (const [env, what, { asksForKeys } = { asksForKeys: false }] of table) {
    it(`${what} with ${JSON.stringify({ ...env, asksForKeys })}`, () => {
      const lines: string[] = [];
      const logger = createLogger('info', { write: (line) => void lines.push(line) });
      const check = () => checkOpenness(readConfig(env, []), asksForKeys, logger);
      if (what === 'refuses') {
        assert.throws(check, (error) => {
          assert.ok(error instanceof ConfigError);
          assert.match(error.message, /API_KEYS or OPERATOR_KEYS, or ALLOW_ANONYMOUS=true/);
          return true;
        });
      } else {
        check();
        assert.equal(lines.join('').includes('"gateway.open"'), what === 'warns');
      }
    });
  }
});
