import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { TransferTurns } from './transfer-turns.ts';

const { signal } = new AbortController();

/** Transfers that last until the test ends, of a tenant and a server: `ax1` is one of `a` on `x`. */
class Transfers implements Disposable {
  readonly #turns: TransferTurns;
  readonly #end = Promise.withResolvers<void>();
  readonly begun: string[] = [];
  readonly lasting: string[] = [];

  constructor(places: number) {
    this.#turns = new TransferTurns(places, { lastsAfterMs: 5 });
  }

  begin(name: string, work = this.#end.promise): Promise<void> {
    const share = { tenant: name.charAt(0), within: [name.charAt(1)] };
    const transfer = async () => {
      this.begun.push(name);
      await work;
    };
    return this.#turns.run(share, signal, transfer, { onLasting: () => this.lasting.push(name) });
  }

  [Symbol.dispose](): void {
    this.#end.resolve();
  }
}

describe('TransferTurns', () => {
  it('has a place for the next when one lasts', { timeout: 10_000 }, async () => {
    using transfers = new Transfers(1);
    void transfers.begin('ax1');
    await transfers.begin('bx1', Promise.resolve());
    assert.deepEqual(transfers.lasting, ['ax1']);
  });

  it('bounds those that last, of a server, of a tenant and in all', {
    timeout: 10_000,
  }, async () => {
    using transfers = new Transfers(4);
    for (let i = 1; i <= 9; i += 1) void transfers.begin(`ax${i}`);
    await delay(100);
    assert.deepEqual(transfers.begun, ['ax1', 'ax2', 'ax3', 'ax4']);
    // What lasts of one server keeps up neither the tenant's others nor other tenants.
    await transfers.begin('ay1', Promise.resolve());
    await transfers.begin('bx1', Promise.resolve());
    for (const key of 'yzuvw') for (let i = 1; i <= 9; i += 1) void transfers.begin(`a${key}${i}`);
    await delay(100);
    assert.equal(transfers.begun.filter((name) => name.startsWith('a')).length, 1 + 8);
    await transfers.begin('bx2', Promise.resolve());
  });

  it('gives up the places of what fails, and of what ends after it has lasted', async () => {
    const turns = new TransferTurns(1, { lastsAfterMs: 5 });
    const fail = () => Promise.reject(new Error('broken'));
    for (let i = 0; i < 5; i += 1) {
      await assert.rejects(turns.run({ tenant: 'a' }, signal, fail), new Error('broken'));
      await turns.run({ tenant: 'a' }, signal, () => delay(10));
    }
  });
});
