import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, describe, it } from 'node:test';
import { gpuRequest, idleBackends } from '../../test/support/idle-backends.ts';
import type { Backend } from '../comfyui/backend.ts';
import { realTempo, type Tempo } from '../core/tempo.ts';
import { type Arrival, Arrivals, type SeatWish, type TakenSeat } from './arrivals.ts';
import { type GpuRequest, SeatLostError } from './waiting-room.ts';

const { signal } = new AbortController();
const quick: Tempo['waitingRoom'] = { ...realTempo.waitingRoom, arrivalDeadlineMs: 20, awayMs: 20 };

describe('Arrivals', () => {
  let cleanup = new AsyncDisposableStack();
  afterEach(async () => {
    await cleanup.disposeAsync();
    cleanup = new AsyncDisposableStack();
  });

  async function open(count: number, tempo: Tempo['waitingRoom'] = realTempo.waitingRoom) {
    const backends = await idleBackends(count, cleanup);
    const left: number[] = [];
    const arrivals = new Arrivals(
      () => backends,
      () => void left.push(arrivals.size),
      tempo,
    );
    cleanup.use(arrivals);
    for (const backend of backends) {
      backend.on('idle', () => arrivals.offer(backend));
      backend.on('room', () => arrivals.offer(backend));
      backend.on('unavailable', () => arrivals.vacate());
    }
    const [first, second] = backends as [Backend, Backend];
    return { first, second, arrivals, left };
  }

  /** A task whose sources are here, and the seat that it gets. */
  function ready(
    arrivals: Arrivals,
    backend: Backend,
    request: GpuRequest,
    wish: Partial<SeatWish> = {},
  ): Promise<TakenSeat> {
    return seatOf(arrivals.expect(backend, request), wish);
  }

  function seatOf(arrival: Arrival, wish: Partial<SeatWish> = {}): Promise<TakenSeat> {
    return arrival.takeSeat({ fits: () => true, onWaiting() {}, ...wish }, signal);
  }

  it('keeps a seat for who was claimed for it, for a moment', async () => {
    const { first, arrivals } = await open(1, quick);
    const slow = arrivals.expect(first, gpuRequest('slow'));
    assert.deepEqual([first.hasRoom, first.hasSeat, first.holds], [false, true, 'sleep']);
    await once(first, 'room');
    assert.deepEqual([first.hasRoom, first.holds], [true, null]);
    assert.equal((await seatOf(slow)).backend, first);
    assert.equal(first.hasSeat, false);
  });

  it('counts who is on the way, and tells when one is not any more', async () => {
    const { first, arrivals, left } = await open(1);
    const slow = arrivals.expect(first, gpuRequest('slow'));
    await ready(arrivals, first, gpuRequest('ready', 'sleep', 'bob'));
    assert.deepEqual(
      [arrivals.size, arrivals.countOf('alice'), arrivals.countOf('bob')],
      [1, 1, 0],
    );
    slow[Symbol.dispose]();
    slow[Symbol.dispose]();
    assert.deepEqual([arrivals.size, left], [0, [1, 0]]);
    assert.equal(first.hasRoom, false);
  });

  it('gives a seat to who is ready before who was claimed for it and is not', async () => {
    const { first, arrivals } = await open(1);
    const slow = arrivals.expect(first, gpuRequest('slow'));
    const { backend, seat } = await ready(arrivals, first, gpuRequest('ready'));
    assert.equal(backend, first);
    const waited: string[] = [];
    const next = seatOf(slow, { onWaiting: () => void waited.push('slow') });
    assert.ok(arrivals.isWaitedFor(first));
    seat[Symbol.dispose]();
    assert.deepEqual([(await next).backend, waited], [first, ['slow']]);
  });

  it('gives another seat that is free, unless the task may not have it', async () => {
    const { first, second, arrivals } = await open(2);
    const own = await ready(arrivals, first, gpuRequest('a'));
    const avoided = ready(arrivals, first, { ...gpuRequest('b'), avoid: [second.label] });
    const unfit = ready(arrivals, first, gpuRequest('c'), { fits: (each) => each !== second });
    assert.equal((await ready(arrivals, first, gpuRequest('d'))).backend, second);
    own.seat[Symbol.dispose]();
    const { backend, seat } = await avoided;
    seat[Symbol.dispose]();
    assert.deepEqual([backend, (await unfit).backend], [first, first]);
  });

  it('gives none in front of a GPU that works on other models, but one that is idle', async () => {
    const { first, second, arrivals } = await open(2);
    await ready(arrivals, first, gpuRequest('a'));
    const gpu = second.takeGpu(gpuRequest('b', 'other'));
    const waiting = ready(arrivals, first, gpuRequest('c'));
    assert.ok(arrivals.isWaitedFor(first));
    gpu?.release();
    assert.equal((await waiting).backend, second);
  });

  it('gives one in front of a GPU that works on the same models', async () => {
    const { first, second, arrivals } = await open(2);
    await ready(arrivals, first, gpuRequest('a'));
    second.takeGpu(gpuRequest('b'));
    assert.equal((await ready(arrivals, first, gpuRequest('c'))).backend, second);
  });

  it('lets the tenant go first that has fewest seats, then who has waited longest', async () => {
    const { first, arrivals } = await open(1);
    first.takeGpu(gpuRequest('running'));
    let { seat } = await ready(arrivals, first, gpuRequest('next', 'sleep', 'carol'));
    const order: string[] = [];
    const waits = [gpuRequest('a1'), gpuRequest('a2'), gpuRequest('b', 'sleep', 'bob')].map(
      async (request) => {
        const taken = await ready(arrivals, first, request);
        order.push(request.taskId);
        return taken;
      },
    );
    for (const next of [waits[2], waits[0], waits[1]]) {
      seat[Symbol.dispose]();
      ({ seat } = await (next as Promise<TakenSeat>));
    }
    assert.deepEqual(order, ['b', 'a1', 'a2']);
  });

  it('sends away who waits when no backend is left, and lets another do where one is', async () => {
    const { first, second, arrivals } = await open(2, quick);
    await ready(arrivals, first, gpuRequest('a'));
    second.takeGpu(gpuRequest('b', 'other'));
    const moving = ready(arrivals, first, gpuRequest('c'));
    first.drain(true);
    assert.equal((await moving).backend, second);
    const lost = ready(arrivals, first, gpuRequest('d'));
    second.drain(true);
    await assert.rejects(lost, SeatLostError);
  });

  it('keeps who waits for a backend that is back soon', async () => {
    const { first, arrivals } = await open(1, { ...quick, awayMs: 100 });
    const { seat } = await ready(arrivals, first, gpuRequest('a'));
    const waiting = ready(arrivals, first, gpuRequest('b'));
    first.drain(true);
    seat[Symbol.dispose]();
    first.drain(false);
    assert.equal((await waiting).backend, first);
  });

  it('lets go of who waits no longer', async () => {
    const { first, arrivals } = await open(1);
    const { seat } = await ready(arrivals, first, gpuRequest('a'));
    const abort = new AbortController();
    const canceled = arrivals
      .expect(first, gpuRequest('b'))
      .takeSeat({ fits: () => true, onWaiting() {} }, abort.signal);
    const next = ready(arrivals, first, gpuRequest('c'));
    abort.abort(new Error('canceled'));
    await assert.rejects(canceled, /canceled/);
    seat[Symbol.dispose]();
    assert.equal((await next).backend, first);
  });

  describe('a task whose sources one backend gets wrong', () => {
    const none = () => Number.POSITIVE_INFINITY;
    /** Of the first backend one thing is wrong. */
    const wrongAt = (wrong: Backend, elsewhere = none) => ({
      misreads: { by: (each: Backend) => Number(each === wrong), elsewhere },
    });

    it('is kept off it for the sake of another, idle or busy', async () => {
      const { first, second, arrivals } = await open(2);
      const wish = wrongAt(first);
      assert.equal((await ready(arrivals, first, gpuRequest('a'), wish)).backend, second);
      second.takeGpu(gpuRequest('b', 'other'));
      const waiting = ready(arrivals, first, gpuRequest('c'), wish);
      // Its own seat is kept for it no longer, and the other one is waited for.
      assert.deepEqual([first.hasRoom, arrivals.isWaitedFor(first)], [true, false]);
      assert.equal(arrivals.isWaitedFor(second), true);
      assert.equal((await ready(arrivals, first, gpuRequest('d'))).backend, first);
      second.drain(true);
      second.drain(false);
      assert.equal(await Promise.race([waiting, 'still']), 'still');
    });

    it('has the seat of the other in front of whatever models, as soon as that is free', async () => {
      const { first, second, arrivals } = await open(2);
      second.takeGpu(gpuRequest('a', 'other'));
      const { seat } = await ready(arrivals, second, gpuRequest('b', 'other'));
      const waiting = ready(arrivals, first, gpuRequest('c'), wrongAt(first));
      seat[Symbol.dispose]();
      assert.equal((await waiting).backend, second);
    });

    it('does with it where the other is away, or goes', async () => {
      const { first, second, arrivals } = await open(2, quick);
      await ready(arrivals, second, gpuRequest('a'));
      const waiting = ready(arrivals, first, gpuRequest('b'), wrongAt(first));
      second.drain(true);
      const { backend, seat } = await waiting;
      assert.equal(backend, first);
      seat[Symbol.dispose]();
      assert.equal((await ready(arrivals, first, gpuRequest('c'), wrongAt(first))).backend, first);
    });

    it('does with it where the other may not have the task, or cannot run it any more', async () => {
      const { first, second, arrivals } = await open(2);
      const avoiding = { ...gpuRequest('a'), avoid: [second.label] };
      const { seat } = await ready(arrivals, first, avoiding, wrongAt(first));
      seat[Symbol.dispose]();
      const ahead = await ready(arrivals, second, gpuRequest('b'));
      const request = gpuRequest('c');
      const waiting = ready(arrivals, first, request, wrongAt(first));
      second.markUnable(request.graph, 'It lost a model');
      ahead.seat[Symbol.dispose]();
      assert.equal((await waiting).backend, first);
    });

    it('keeps others of its line off it, once enough of them wait', async () => {
      const { first, second, arrivals } = await open(2);
      await ready(arrivals, second, gpuRequest('ahead'));
      for (const id of ['a', 'b', 'c', 'd']) {
        assert.equal(arrivals.areKeptOff(first, gpuRequest(id)), false);
        void ready(arrivals, first, gpuRequest(id), wrongAt(first)).catch(() => {});
      }
      assert.equal(arrivals.areKeptOff(first, gpuRequest('e')), true);
      assert.equal(arrivals.areKeptOff(second, gpuRequest('e')), false);
      assert.equal(arrivals.areKeptOff(first, gpuRequest('e', 'other')), false);
      assert.equal(arrivals.areKeptOff(first, gpuRequest('e', 'sleep', 'bob')), false);
    });

    it('is sent to another gateway where that has one which gets them right', async () => {
      const { first, second, arrivals } = await open(2);
      const lost = ready(arrivals, first, gpuRequest('a'), {
        misreads: { by: () => 1, elsewhere: () => 0 },
      });
      await assert.rejects(lost, {
        name: 'SeatElsewhereError',
        worse: [first.label, second.label],
      });
      const right = ready(
        arrivals,
        first,
        gpuRequest('b'),
        wrongAt(first, () => 0),
      );
      assert.equal((await right).backend, second);
    });
  });
});
