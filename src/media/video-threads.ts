import { Worker } from 'node:worker_threads';
import type { RangeReader } from './range-reader.ts';
import type { FromVideoThread, ToVideoThread, VideoAnswer, VideoJob } from './video-thread.ts';

/**
 * Threads that read clips. Container parsers can be made to loop and to hoard, and a thread can be ended when one
 * does. One that has read its clip to a good end reads the next: a new one loads everything anew.
 */
export class VideoThreads {
  /** With what ends each, once nobody has had a use for it for so long. */
  readonly #idle = new Map<Worker, NodeJS.Timeout>();
  readonly #idleMs: number;

  constructor(idleMs: number) {
    this.#idleMs = idleMs;
  }

  /**
   * What the thread says of the clip.
   *
   * @throws the signal's reason; what `reader` throws; an Error where the thread ends without an answer.
   */
  async read(
    reader: RangeReader,
    job: Omit<VideoJob, 'size'>,
    signal: AbortSignal,
  ): Promise<VideoAnswer> {
    const thread = this.#take();
    let isGood = false;
    try {
      const answer = await answerOf(thread, reader, { ...job, size: reader.size }, signal);
      isGood = answer.kind !== 'failed';
      return answer;
    } finally {
      if (isGood) this.#keep(thread);
      else await thread.terminate();
    }
  }

  #take(): Worker {
    const [idle] = this.#idle;
    if (!idle) return this.#start();
    const [thread, end] = idle;
    clearTimeout(end);
    this.#idle.delete(thread);
    thread.ref();
    return thread;
  }

  #keep(thread: Worker): void {
    // It keeps no process that has nothing else to do.
    thread.unref();
    const end = () => void thread.terminate();
    this.#idle.set(thread, setTimeout(end, this.#idleMs).unref());
  }

  #start(): Worker {
    const thread = new Worker(new URL('./video-thread.ts', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 32 },
      stdout: true,
      stderr: true,
    });
    // Whoever waits for it hears of its end; while it is idle, nobody does.
    thread.on('error', () => {});
    thread.on('exit', () => this.#idle.delete(thread));
    return thread;
  }
}

let jobs = 0;

/** Serves the thread's wishes for bytes until it answers. */
async function answerOf(
  thread: Worker,
  reader: RangeReader,
  job: VideoJob,
  signal: AbortSignal,
): Promise<VideoAnswer> {
  signal.throwIfAborted();
  jobs += 1;
  const number = jobs;
  const { promise, resolve, reject } = Promise.withResolvers<VideoAnswer>();
  const send = (message: ToVideoThread) => thread.postMessage(message);
  const onMessage = async (message: FromVideoThread) => {
    // What is read ahead of an answer may be asked for after it.
    if (message.job !== number) return;
    if (message.kind !== 'read') return resolve(message);
    try {
      const bytes = await reader.read(message.start, message.end, signal);
      send({ kind: 'bytes', id: message.id, bytes });
    } catch (error) {
      reject(error);
    }
  };
  const onExit = () => reject(new Error('The thread ended without an answer'));
  const onAbort = () => reject(signal.reason);
  thread.on('message', onMessage).on('error', reject).on('exit', onExit);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    send({ kind: 'probe', number, job });
    return await promise;
  } finally {
    signal.removeEventListener('abort', onAbort);
    thread.off('message', onMessage).off('error', reject).off('exit', onExit);
  }
}
