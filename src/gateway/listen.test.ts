import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { describe, it } from 'node:test';
import { ConfigError } from '../config/config.ts';
import { listen } from './listen.ts';

describe('listen', () => {
  const refused = (host: string, port: number, sentence: RegExp) =>
    assert.rejects(listen(createServer(), host, port, 'PORT'), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, sentence);
      return true;
    });

  it('says in a sentence why it cannot', async () => {
    const server = createServer();
    const url = await listen(server, '127.0.0.1', 0, 'PORT');
    await refused('127.0.0.1', Number(new URL(url).port), /PORT \d+: another program listens/);
    server.close();
    // Of a block that is for documents alone.
    await refused('203.0.113.9', 0, /HOST 203\.0\.113\.9 is no address of this machine/);
    await refused('nowhere.invalid', 0, /HOST nowhere\.invalid is no address, and no name/);
  });
});
