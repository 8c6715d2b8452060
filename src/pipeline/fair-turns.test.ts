import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { FairTurns } from './fair-turns.ts';

const { signal } = new AbortController();

/** Transfers that last until they are told to end, in the order in which they began. */
class Transfers {
  readonly turns: FairTurns;
  readonly begun: string[] = [];
  readonly waited: string[] = [];
  readonly #ends = new Map<string, PromiseWithResolvers<void>>();

  constructor(places: number) {
    this.turns = new FairTurns(places);
  }

  /** `name` begins with its keys: `a1` is a transfer of `a`, `ax2` one of `a` and `x`. */
  add(name: string, of: AbortSignal = signal): Promise<void> {
    const end = Promise.withResolvers<void>();
    this.#ends.set(name, end);
    const work = () => {
      this.begun.push(name);
      return end.promise;
    };
    return this.turns.run(name.match(/[a-z]/g) ?? [], of, work, {
      onWaiting: () => void this.waited.push(name),
      isPatient: name.endsWith('p'),
    });
  }

  addAll(names: string): Promise<void>[] {
    return names.split(' ').map((name) => this.add(name));
  }

  async end(name: string, error?: Error): Promise<void> {
    const end = this.#ends.get(name);
    if (error) end?.reject(error);
    else end?.resolve();
    await setImmediate();
  }
}

describe('FairTurns', () => {
  it('lets one key have half of the places, and tells who has to wait', async () => {
    const transfers = new Transfers(4);
    transfers.addAll('a1 a2 a3 a4');
    await setImmediate();
    assert.deepEqual(transfers.begun, ['a1', 'a2']);
    assert.deepEqual(transfers.waited, ['a3', 'a4']);
  });

  it('finds a place at once for another key, whatever the first one wants', async () => {
    const transfers = new Transfers(4);
    transfers.addAll('a1 a2 a3 a4 b1 c1');
    await setImmediate();
    assert.deepEqual(transfers.begun, ['a1', 'a2', 'b1', 'c1']);
  });

  it('shares what a key has between the keys within it', async () => {
    const transfers = new Transfers(8);
    transfers.addAll('ax1 ax2 ax3 ay4 ay5 az6 bw7');
    await setImmediate();
    assert.deepEqual(transfers.begun, ['ax1', 'ax2', 'ay4', 'az6', 'bw7']);
    assert.deepEqual(transfers.waited, ['ax3', 'ay5']);
  });

  it('asks the second key where the first ones have as much', async () => {
    const transfers = new Transfers(8);
    transfers.addAll('ax1 ax2 ax3 ay4 ay5');
    await transfers.end('ay4');
    assert.deepEqual(transfers.begun, ['ax1', 'ax2', 'ay4', 'ay5']);
  });

  it('lets those who are patient wait for all others', async () => {
    const transfers = new Transfers(1);
    transfers.addAll('a1 b2p a3 a4');
    for (const name of ['a1', 'a3', 'a4']) await transfers.end(name);
    assert.deepEqual(transfers.begun, ['a1', 'a3', 'a4', 'b2p']);
  });

  it('takes turns between keys when there is one place', async () => {
    const transfers = new Transfers(1);
    transfers.addAll('a1 a2 a3 b1 b2');
    for (const name of ['a1', 'b1', 'a2', 'b2', 'a3']) await transfers.end(name);
    assert.deepEqual(transfers.begun, ['a1', 'b1', 'a2', 'b2', 'a3']);
  });

  it('gives the next place to the key that has fewest', async () => {
    const transfers = new Transfers(4);
    transfers.addAll('a1 a2 b1 c1 a3 b2 d1');
    await transfers.end('c1');
    assert.deepEqual(transfers.begun, ['a1', 'a2', 'b1', 'c1', 'd1']);
  });

  it('gives on the place of what failed, with its error', async () => {
    const transfers = new Transfers(1);
    const [first] = transfers.addAll('a1 a2');
    const failed = assert.rejects(first as Promise<void>, /broken/);
    await transfers.end('a1', new Error('broken'));
    await failed;
    assert.deepEqual(transfers.begun, ['a1', 'a2']);
  });

  it('lets go of what waits no longer, and of nothing else', async () => {
    const transfers = new Transfers(1);
    const abort = new AbortController();
    const reason = new Error('canceled');
    transfers.add('a1');
    const canceled = assert.rejects(transfers.add('a2', abort.signal), reason);
    transfers.add('a3');
    abort.abort(reason);
    await canceled;
    await transfers.end('a1');
    assert.deepEqual(transfers.begun, ['a1', 'a3']);
    await assert.rejects(transfers.add('a4', abort.signal), reason);
  });

  it('gives on the place of one that is served and canceled in the same moment', async () => {
    const transfers = new Transfers(1);
    const abort = new AbortController();
    transfers.add('a1');
    const canceled = transfers.add('b1', abort.signal).catch(() => {});
    transfers.add('c1');
    const served = transfers.end('a1');
    await Promise.resolve();
    abort.abort(new Error('canceled'));
    await served;
    await transfers.end('b1');
    await canceled;
    assert.deepEqual(transfers.begun.at(-1), 'c1');
  });
});
