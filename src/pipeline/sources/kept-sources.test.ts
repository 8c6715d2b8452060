import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { pino } from 'pino';
import type { Claim } from '../../core/attempt.ts';
import { GatewayError } from '../../core/errors.ts';
import { lockFile } from '../../db/file-lock.ts';
import { Spool } from '../../media/spool.ts';
import { SourceLog } from '../../telemetry/source-log.ts';
import { type Fetch, KeptSources, type KeptSourcesParts } from './kept-sources.ts';
import { nowhere, type Whereabouts } from './source-copies.ts';

type Copies = KeptSourcesParts['copies'];

const info = { kind: 'image', format: 'png', width: 1, height: 1 } as const;
const source = { input: 'image', url: 'https://example.com/a.png' };
const inStore = { key: 'sources/1', note: { bytes: 5, sha256: null, info } };
const wish = { wantsSha256: false, report: () => {}, signal: new AbortController().signal };

describe('kept sources', () => {
  let root: string;
  let spool: Spool;
  let kept: KeptSources;
  let open: Set<string>;
  let fetched: string[];
  /** Of the sources that were fetched, those from the store. */
  let copied: string[];
  /** What another gateway, or the store, has. */
  let place: Whereabouts;
  let announced: string[];
  let published: string[];
  let removed: string[];
  const copies: Copies = {
    areWanted: false,
    locate: async () => place,
    publish: async ({ runId }) => void published.push(runId),
    remove: async (runId) => void removed.push(runId),
    announce: async ({ runId }) => void announced.push(runId),
    readingOf: async (_key, mayBeBegun) => {
      if (place.isLeft) return 'whole';
      return mayBeBegun ? 'begun' : 'never';
    },
    sweep: async () => {},
  };

  const opened = (spooled: Spool) =>
    new KeptSources({
      spool: spooled,
      held: { openRuns: async (ids) => new Set(ids.filter((id) => open.has(id))) },
      copies,
      sourceReader: { isOurs: (url) => url.startsWith('upload:') },
      log: new SourceLog(pino({ enabled: false })),
    });

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'tmlsr-kept-'));
    spool = await Spool.open(root, lockFile, 10);
    kept = opened(spool);
    open = new Set();
    fetched = [];
    copied = [];
    place = nowhere;
    announced = [];
    published = [];
    removed = [];
  });
  afterEach(async () => {
    await kept[Symbol.asyncDispose]();
    await spool[Symbol.asyncDispose]();
    await rm(root, { recursive: true });
  });

  /** A claim of a run that is open. */
  function claim(runId: string = randomUUID()): Claim {
    open.add(runId);
    const [startedAt, updatedAt] = [new Date(), new Date()];
    return {
      run: { id: runId, isUnread: false },
      attempt: { id: randomUUID() },
      task: { startedAt, updatedAt },
    } as Claim;
  }

  const fetch: Fetch = async ({ owner, stored }) => {
    if (stored) copied.push(owner);
    fetched.push(owner);
    const { path, onBytes } = spool.file(owner, 'image');
    await writeFile(path, 'bytes');
    onBytes(5);
    return { path, bytes: 5, sha256: null, info, checked: Promise.resolve() };
  };

  /** Gets it and looks at every pixel of it. */
  async function get(of: Claim, url = source.url) {
    const got = await kept.get(of, { ...source, url }, wish, fetch);
    await got.checked;
    return got;
  }

  it('are there for the next attempt, and go with the run', async () => {
    const first = claim();
    const { path } = await get(first);
    await kept.release(first);
    const again = await get(claim(first.run.id));
    assert.deepEqual([again.path, fetched], [path, [first.run.id]]);
    kept.ended(first.run.id);
    await kept[Symbol.asyncDispose]();
    assert.deepEqual(await readdir(dirname(path)), []);
  });

  it('are fetched for one attempt alone where they lie in our own store', async () => {
    const first = claim();
    const { path } = await get(first, 'upload:1');
    await kept.release(first);
    assert.deepEqual([fetched, await readdir(dirname(path))], [[first.attempt.id], []]);
  });

  it('come once for two attempts, and go on when the first one is over', async () => {
    const first = claim();
    const half = Promise.withResolvers<void>();
    const slowly: Fetch = async (transfer) => {
      await half.promise;
      transfer.report({ progress: 50, detail: 'half' });
      return await fetch(transfer);
    };
    const abort = new AbortController();
    const broken = kept.get(first, source, { ...wish, signal: abort.signal }, slowly);
    abort.abort(new Error('enough'));
    await assert.rejects(broken, new Error('enough'));
    const details: (string | null)[] = [];
    const report = ({ detail }: { detail: string | null }) => void details.push(detail);
    const joined = kept.get(claim(first.run.id), source, { ...wish, report }, fetch);
    half.resolve();
    await joined;
    assert.deepEqual([fetched, details], [[first.run.id], ['half']]);
  });

  it('are tried anew after a failure, also one that shows late', async () => {
    const of = claim();
    const failure = new GatewayError('media_corrupt', 'It is cut off');
    await assert.rejects(
      kept.get(of, source, wish, () => Promise.reject(failure)),
      failure,
    );
    const late: Fetch = async (transfer) => {
      const got = await fetch(transfer);
      return { ...got, checked: Promise.reject(failure) };
    };
    const { checked } = await kept.get(of, source, wish, late);
    await assert.rejects(checked, failure);
    assert.equal(await readFile((await get(of)).path, 'utf8'), 'bytes');
  });

  it('make room where no attempt needs them, those that came last first', async () => {
    const [old, young] = [claim(), claim()];
    for (const each of [old, young]) await get(each);
    await kept.release(old);
    let isRoom = false;
    const room = spool.room(randomUUID(), AbortSignal.timeout(10_000));
    await room.then(() => {
      isRoom = true;
    });
    assert.ok(isRoom);
    assert.deepEqual(
      [spool.bytesOf(old.run.id, 'image'), spool.bytesOf(young.run.id, 'image')],
      [0, 5],
    );
  });

  it('are moved into the store when they make room, and found there', async () => {
    const [one, two] = [claim(), claim()];
    for (const each of [one, two]) await get(each);
    await kept.release(one);
    await spool.room(randomUUID(), AbortSignal.timeout(10_000));
    assert.deepEqual([published, removed], [[one.run.id], []]);
    place = { stored: inStore, isLeft: false };
    await get(claim(one.run.id));
    assert.deepEqual(copied, [one.run.id]);
    kept.ended(one.run.id);
    await kept[Symbol.asyncDispose]();
    assert.deepEqual(removed, [one.run.id]);
  });

  it('are read from their link where the store does not give its copy', async () => {
    place = { stored: inStore, isLeft: false };
    const of = claim();
    const failing: Fetch = async (transfer) => {
      if (!transfer.stored) return await fetch(transfer);
      throw new GatewayError('storage_failed', 'It is away');
    };
    await (await kept.get(of, source, wish, failing)).checked;
    assert.deepEqual([fetched, copied], [[of.run.id], []]);
  });

  it('are not blamed on their owner where our copy is lost', async () => {
    place = { stored: null, isLeft: true };
    const dead = () => Promise.reject(new GatewayError('source_denied', 'It is over (403)'));
    await assert.rejects(kept.get(claim(), source, wish, dead), {
      code: 'source_lost',
      message:
        'It is over (403). It was read before; the gateway has lost its copy and had to read it again',
    });
  });

  it('are blamed on their owner where they are nothing, whatever happened before', async () => {
    const first = claim();
    const again: Claim = { ...first, task: { ...first.task, startedAt: null } };
    for (const code of ['source_too_large', 'source_empty', 'media_corrupt'] as const) {
      const fails = () => Promise.reject(new GatewayError(code, 'It is wrong'));
      await assert.rejects(kept.get(again, source, wish, fails), { code, message: 'It is wrong' });
    }
    const dead = () => Promise.reject(new GatewayError('source_not_found', 'It is gone'));
    await assert.rejects(kept.get(claim(), source, wish, dead), { code: 'source_not_found' });
    const slow = () => Promise.reject(new GatewayError('source_timeout', 'It is slow'));
    await assert.rejects(kept.get(again, source, wish, slow), {
      code: 'source_timeout',
      message: 'It is slow. The gateway had begun to read it before, and broke off',
    });
    await assert.rejects(kept.get(again, source, wish, dead), {
      code: 'source_lost',
      message: 'It is gone. The gateway had begun to read it before, and broke off',
    });
  });

  it('are announced to who asks while they are read, and not while they wait for their turn', async () => {
    const [begun, waiting] = [claim(), claim()];
    const never = Promise.withResolvers<never>();
    const reading: Fetch = async ({ begin }) => {
      await begin();
      return await never.promise;
    };
    void kept.get(begun, source, wish, reading).catch(() => {});
    void kept.get(waiting, source, wish, () => never.promise).catch(() => {});
    await setImmediate();
    for (const { run } of [begun, waiting]) kept.wanted(run.id);
    assert.deepEqual(announced, [begun.run.id]);
    never.reject(new Error('over'));
  });

  it('are read to their end at a stop, and none is begun any more', async () => {
    const [begun, waiting] = [claim(), claim()];
    const [half, turn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const slowly: Fetch = async (transfer) => {
      await transfer.begin();
      await half.promise;
      return await fetch(transfer);
    };
    const inTurn: Fetch = async (transfer) => {
      await turn.promise;
      await transfer.begin();
      return await fetch(transfer);
    };
    void kept.get(begun, source, wish, slowly).catch(() => {});
    void kept.get(waiting, source, wish, inTurn).catch(() => {});
    await setImmediate();
    const finished = kept.finish(60_000, true);
    turn.resolve();
    half.resolve();
    await finished;
    assert.deepEqual([fetched, published], [[begun.run.id], [begun.run.id]]);
    assert.deepEqual(await kept.atRest(waiting.run.id), undefined);
    await kept[Symbol.asyncDispose]();
    assert.deepEqual(fetched, [begun.run.id]);
  });

  it('go to runs that are given the same files, and stay when the first one ends', async () => {
    const [first, heir] = [claim(), claim()];
    const mask = { ...source, input: 'mask' };
    const run = { ...first.run, sources: [source, mask] };
    await get(first);
    const files = await kept.filesOf(run);
    assert.deepEqual([...files.keys()], ['image', 'mask']);
    await kept.lend(files, heir.run.id);
    kept.ended(first.run.id);
    for (const each of [source, mask]) {
      const { path } = await kept.get(heir, each, wish, fetch);
      assert.equal(await readFile(path, 'utf8'), 'bytes');
    }
    assert.deepEqual(fetched, [first.run.id]);
  });

  it('are fetched anew where somebody has removed their files', async () => {
    const of = claim();
    await rm((await get(of)).path);
    assert.equal(await readFile((await get(of)).path, 'utf8'), 'bytes');
    assert.equal(fetched.length, 2);
  });

  it('are hashed when somebody wants it', async () => {
    const of = claim();
    await get(of);
    const { sha256 } = await kept.get(of, source, { ...wish, wantsSha256: true }, fetch);
    assert.equal(sha256, createHash('sha256').update('bytes').digest('hex'));
  });

  it('are taken over from a dead gateway, but for runs that have ended', async () => {
    const [goesOn, ended] = [claim(), claim()];
    for (const each of [goesOn, ended]) await get(each);
    await kept[Symbol.asyncDispose]();
    await spool[Symbol.asyncDispose]();
    open.delete(ended.run.id);
    spool = await Spool.open(root, lockFile, 10);
    kept = opened(spool);
    await kept.adopt();
    fetched = [];
    const { path, bytes } = await get(goesOn);
    assert.deepEqual([bytes, fetched], [5, []]);
    await kept[Symbol.asyncDispose]();
    assert.equal((await readdir(dirname(path))).length, 2);
  });

  for (const [words, found] of [
    ['that told others', { stored: null, isLeft: true }],
    ['that told nobody', nowhere],
  ] as const) {
    it(`are taken over by attempts that need them, of a dead gateway ${words}`, async () => {
      const runs = [claim(), claim(), claim()];
      for (const each of runs) await get(each);
      await kept[Symbol.asyncDispose]();
      await spool[Symbol.asyncDispose]();
      spool = await Spool.open(root, lockFile, 10);
      kept = opened(spool);
      place = found;
      fetched = [];
      // They were begun before.
      const again = runs.map((of): Claim => ({ ...of, task: { ...of.task, startedAt: null } }));
      await Promise.all(again.map((of) => get(of)));
      assert.deepEqual(fetched, []);
    });
  }

  it('are put into the store once, however often another gateway says that it wants them', async () => {
    const of = claim();
    await get(of);
    const slow = Promise.withResolvers<void>();
    const { publish } = copies;
    copies.publish = async (...all) => {
      await publish(...all);
      await slow.promise;
    };
    for (const _ of [1, 2, 3]) {
      kept.wanted(of.run.id);
      await setImmediate();
    }
    slow.resolve();
    copies.publish = publish;
    assert.deepEqual(published, [of.run.id]);
  });

  it('go from the disk of a dead gateway when a sweep finds them', async () => {
    const ended = claim();
    const { path } = await get(ended);
    await kept[Symbol.asyncDispose]();
    await spool[Symbol.asyncDispose]();
    open.clear();
    spool = await Spool.open(root, lockFile, 10);
    kept = opened(spool);
    await kept.sweep();
    await kept[Symbol.asyncDispose]();
    assert.equal(existsSync(dirname(path)), false);
  });

  it('go when a sweep finds that their run has ended elsewhere', async () => {
    const of = claim();
    const { path } = await get(of);
    await kept.sweep();
    assert.equal((await readdir(dirname(path))).length, 2);
    open.clear();
    await kept.sweep();
    await kept[Symbol.asyncDispose]();
    assert.deepEqual(await readdir(dirname(path)), []);
  });
});
