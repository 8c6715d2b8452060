import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { gpuRequest, idleBackends } from '../../test/support/idle-backends.ts';
import type { Backend } from '../comfyui/backend.ts';
import { SeatLostError, WaitingRoom } from './waiting-room.ts';

const { signal } = new AbortController();

describe('WaitingRoom', () => {
  let cleanup = new AsyncDisposableStack();
  afterEach(async () => {
    await cleanup.disposeAsync();
    cleanup = new AsyncDisposableStack();
  });

  /** Backends that are idle, and the room in front of them. */
  async function open(count: number): Promise<{ backends: Backend[]; room: WaitingRoom }> {
    const backends = await idleBackends(count, cleanup);
    const room = new WaitingRoom(() => backends);
    cleanup.use(room);
    for (const backend of backends) {
      backend.on('idle', () => room.offer(backend));
      backend.on('unavailable', () => room.vacate(backend));
    }
    return { backends, room };
  }

  it('gives the preferred backend, and another where that is busy', async () => {
    const { backends, room } = await open(2);
    const [first, second] = backends as [Backend, Backend];
    const taken = [
      await room.takeGpu(gpuRequest('a'), second, signal),
      await room.takeGpu(gpuRequest('b'), second, signal),
    ];
    assert.deepEqual(
      taken.map(({ backend }) => backend),
      [second, first],
    );
  });

  it('gives no backend that does not fit', async () => {
    const { backends, room } = await open(2);
    const [first, second] = backends as [Backend, Backend];
    const taken = await room.takeGpu(gpuRequest('a'), first, signal);
    const fits = (backend: Backend) => backend !== second;
    const waiting = room.takeGpu({ ...gpuRequest('b'), fits }, first, signal);
    assert.equal(room.offer(second), false);
    taken.seat.release();
    assert.equal((await waiting).backend, first);
  });

  it('lets whoever was made ready for a backend go first, then who has waited longest', async () => {
    const { backends, room } = await open(2);
    const [first, second] = backends as [Backend, Backend];
    room.isMoreToCome = true;
    const running = await room.takeGpu(gpuRequest('a'), first, signal);
    const other = await room.takeGpu(gpuRequest('b'), second, signal);
    const order: string[] = [];
    const waits = [gpuRequest('c'), gpuRequest('d'), gpuRequest('e')].map(async (waiting, i) => {
      const preferred = i === 1 ? first : second;
      const taken = await room.takeGpu(waiting, preferred, signal);
      order.push(`${waiting.taskId} ${taken.backend === first ? 'first' : 'second'}`);
      return taken;
    });
    running.seat.release();
    const d = await (waits[1] as (typeof waits)[0]);
    d.seat.release();
    await (waits[0] as (typeof waits)[0]);
    other.seat.release();
    await Promise.all(waits);
    assert.deepEqual(order, ['d first', 'c first', 'e second']);
  });

  it('keeps the last task from a backend that takes much longer than another', async () => {
    const { backends, room } = await open(2);
    const [fast, slow] = backends as [Backend, Backend];
    for (const backend of backends) backend.posted('sleep', 1);
    fast.runTimes.add('sleep', 300);
    slow.runTimes.add('sleep', 3_000);
    const running = await room.takeGpu(gpuRequest('a'), fast, signal);
    const waiting = room.takeGpu(gpuRequest('b'), slow, signal);
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(slow.state, 'idle');
    running.seat.release();
    assert.equal((await waiting).backend, fast);
  });

  it('gives it to the slow one while more are to come', async () => {
    const { backends, room } = await open(2);
    const [fast, slow] = backends as [Backend, Backend];
    for (const backend of backends) backend.posted('sleep', 1);
    fast.runTimes.add('sleep', 300);
    slow.runTimes.add('sleep', 3_000);
    room.isMoreToCome = true;
    await room.takeGpu(gpuRequest('a'), fast, signal);
    assert.equal((await room.takeGpu(gpuRequest('b'), slow, signal)).backend, slow);
  });

  it('loads no models for the last task where another that has them is free soon', async () => {
    const { backends, room } = await open(2);
    const [warm, cold] = backends as [Backend, Backend];
    warm.posted('sleep', 1);
    warm.runTimes.add('sleep', 400);
    const running = await room.takeGpu(gpuRequest('a'), warm, signal);
    const waiting = room.takeGpu(gpuRequest('b'), cold, signal);
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(cold.state, 'idle');
    running.seat.release();
    assert.equal((await waiting).backend, warm);
  });

  it('sends away who waits for a backend that stays out of service', async () => {
    const { backends, room } = await open(1);
    const [only] = backends as [Backend];
    const running = await room.takeGpu(gpuRequest('a'), only, signal);
    const waiting = room.takeGpu(gpuRequest('b'), only, signal);
    only.drain(true);
    running.seat.release();
    await assert.rejects(waiting, SeatLostError);
  });

  it('keeps who waits for a backend that is back soon', async () => {
    const { backends, room } = await open(1);
    const [only] = backends as [Backend];
    const running = await room.takeGpu(gpuRequest('a'), only, signal);
    const waiting = room.takeGpu(gpuRequest('b'), only, signal);
    only.drain(true);
    running.seat.release();
    only.drain(false);
    assert.equal((await waiting).backend, only);
  });

  it('lets go of who waits no longer', async () => {
    const { backends, room } = await open(1);
    const [only] = backends as [Backend];
    const running = await room.takeGpu(gpuRequest('a'), only, signal);
    const abort = new AbortController();
    const waiting = room.takeGpu(gpuRequest('b'), only, abort.signal);
    const next = room.takeGpu(gpuRequest('c'), only, signal);
    abort.abort(new Error('canceled'));
    await assert.rejects(waiting, /canceled/);
    running.seat.release();
    assert.equal((await next).backend, only);
  });
});
