import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { TransferTurns } from './transfer-turns.ts';

const { signal } = new AbortController();

/** Transfers that last until the test ends. */
class Transfers implements Disposable {
  readonly #turns: TransferTurns;
  readonly #end = Promise.withResolvers<void>();
  readonly begun: string[] = [];
  readonly lasting: string[] = [];

  constructor(places: number) {
    this.#turns = new TransferTurns(places, { lastsAfterMs: 5 });
  }

  begin(name: string, work = this.#end.promise): Promise<void> {
    const key = name.charAt(0);
    const transfer = async () => {
      this.begun.push(name);
      await work;
    };
    return this.#turns.run([key], signal, transfer, { onLasting: () => this.lasting.push(name) });
  }

  [Symbol.dispose](): void {
    this.#end.resolve();
  }
}

describe('TransferTurns', () => {
  it('has a place for the next when one lasts', { timeout: 10_000 }, async () => {
    using transfers = new Transfers(1);
    void transfers.begin('a1');
    await transfers.begin('b1', Promise.resolve());
    assert.deepEqual(transfers.lasting, ['a1']);
  });

  it('bounds those that last, of one key and in all', { timeout: 10_000 }, async () => {
    using transfers = new Transfers(2);
    for (let i = 1; i <= 9; i += 1) void transfers.begin(`a${i}`);
    await delay(100);
    // Three of six places for those that last, and one of two for the others.
    assert.deepEqual(transfers.begun, ['a1', 'a2', 'a3', 'a4']);
    await transfers.begin('b1', Promise.resolve());
    for (let i = 2; i <= 9; i += 1) void transfers.begin(`b${i}`);
    await delay(100);
    assert.deepEqual(transfers.begun.slice(5), ['b2', 'b3', 'b4']);
  });

  it('gives up the place of what ends, fails or is canceled', async () => {
    const turns = new TransferTurns(1, { lastsAfterMs: 5 });
    const fail = () => Promise.reject(new Error('broken'));
    for (let i = 0; i < 5; i += 1) {
      await assert.rejects(turns.run(['a'], signal, fail), new Error('broken'));
      await turns.run(['a'], signal, () => delay(10));
    }
  });
});
