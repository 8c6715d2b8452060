/**
 * The "GPU": ESRGAN weights run by TensorFlow.js on WASM in a thread of their own, one tile at a
 * time. The thread starts with the first tile and dies with the engine.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Frame } from './frames.ts';

export const scales = [2, 3, 4] as const;
export type Scale = (typeof scales)[number];

export interface EngineRequest {
  readonly id: number;
  readonly scale: number;
  readonly frame: Frame;
}

export type EngineReply =
  | { readonly id: number; readonly frame: Frame }
  | { readonly id: number; readonly error: string };

export class Engine {
  #thread: Worker | null = null;
  readonly #waiting = new Map<number, PromiseWithResolvers<Frame>>();
  #lastId = 0;

  async enlarge(frame: Frame, scale: number): Promise<Frame> {
    this.#thread ??= this.#start();
    const id = ++this.#lastId;
    const reply = Promise.withResolvers<Frame>();
    this.#waiting.set(id, reply);
    const request: EngineRequest = { id, scale, frame };
    this.#thread.postMessage(request, [frame.rgb.buffer as ArrayBuffer]);
    return reply.promise;
  }

  async close(): Promise<void> {
    const thread = this.#thread;
    if (thread === null) return;
    const exited = once(thread, 'exit');
    await thread.terminate();
    await exited.catch(() => {});
  }

  #start(): Worker {
    const thread = new Worker(new URL('./engine-thread.ts', import.meta.url));
    // An idle engine keeps no process alive.
    thread.unref();
    thread.on('message', (reply: EngineReply) => {
      const waiting = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      if ('error' in reply) waiting?.reject(new Error(reply.error));
      else waiting?.resolve(reply.frame);
    });
    const fail = (error: Error) => {
      this.#thread = null;
      for (const waiting of this.#waiting.values()) waiting.reject(error);
      this.#waiting.clear();
    };
    thread.on('error', fail);
    thread.on('exit', () => fail(new Error('the engine was closed')));
    return thread;
  }
}
