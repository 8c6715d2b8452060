import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pino } from 'pino';
import { RefusalLog } from './refusal-log.ts';

describe('RefusalLog', () => {
  it('tells of each tenant and limit once in a minute', (t) => {
    let now = 0;
    t.mock.method(performance, 'now', () => now);
    const lines: { tenant?: string; address?: string; limit: string }[] = [];
    const logger = pino({ level: 'info' }, { write: (line) => lines.push(JSON.parse(line)) });
    const log = new RefusalLog(logger);
    const code = 'limit_exceeded';
    const refuse = (tenant: string, limit: string) =>
      log.refused({ tenant, code }, limit, 'enough');
    for (let count = 0; count < 3; count += 1) refuse('a', 'waiting');
    refuse('a', 'requests');
    refuse('b', 'waiting');
    now = 59_999;
    refuse('a', 'waiting');
    now = 60_000;
    refuse('a', 'waiting');
    assert.deepEqual(
      lines.map(({ tenant, limit }) => `${tenant} ${limit}`),
      ['a waiting', 'a requests', 'b waiting', 'a waiting'],
    );
  });
});
