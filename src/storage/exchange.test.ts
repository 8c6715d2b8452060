import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SourceServer } from '../../test/support/source-server.ts';
import { realTempo } from '../core/tempo.ts';
import { createAgent, exchange } from './exchange.ts';

describe('exchange', () => {
  it('keeps no answer that is longer than any that is asked for', async () => {
    await using server = await SourceServer.start();
    await using agent = disposing(createAgent(realTempo.store));
    const long = server.file('long', Buffer.alloc(5 * 1024 * 1024));
    const { signal } = new AbortController();
    const request = { headers: {}, body: null, isStreamed: false, deadlineMs: 60_000, signal };
    await assert.rejects(exchange(agent.value, long, { method: 'GET', ...request }), {
      name: 'AnswerTooLong',
    });
  });
});

function disposing(value: ReturnType<typeof createAgent>) {
  return { value, [Symbol.asyncDispose]: () => value.destroy() };
}
