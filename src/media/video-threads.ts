import { Worker } from 'node:worker_threads';
import type { RangeReader } from './range-reader.ts';
import type { FromVideoThread, ToVideoThread, VideoAnswer, VideoJob } from './video-thread.ts';

export interface ThreadTempo {
  /** A thread ends that nobody has had a use for. */
  readonly idleMs: number;
  /** What a thread has taken of a processor is looked at this often. */
  readonly lookMs: number;
}

/** How long a thread may take. */
export interface Until {
  readonly signal: AbortSignal;
  /** Of a processor's time, milliseconds. */
  readonly workMs: number;
}

/**
 * Threads that read clips. Container parsers can be made to loop and to hoard, and a thread can be ended when one
 * does. One that has read its clip to a good end reads the next: a new one loads everything anew.
 */
export class VideoThreads {
  /** With what ends each, once nobody has had a use for it for so long. */
  readonly #idle = new Map<Worker, NodeJS.Timeout>();
  readonly #tempo: ThreadTempo;

  constructor(tempo: ThreadTempo) {
    this.#tempo = tempo;
  }

  /**
   * What the thread says of the clip.
   *
   * @throws the signal's reason; what `reader` throws; an Error where the thread ends without an answer, or has
   *   worked for too long.
   */
  async read(
    reader: RangeReader,
    job: Omit<VideoJob, 'size'>,
    { signal, workMs }: Until,
  ): Promise<VideoAnswer> {
    const thread = this.#take();
    let isGood = false;
    try {
      using work = watchWork(thread, workMs, this.#tempo.lookMs);
      const until = AbortSignal.any([signal, work.signal]);
      const answer = await answerOf(thread, reader, { ...job, size: reader.size }, until);
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
    this.#idle.set(thread, setTimeout(end, this.#tempo.idleMs).unref());
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

/** Its signal aborts when the thread has taken so much of a processor since now. */
function watchWork(
  thread: Worker,
  mostMs: number,
  lookMs: number,
): Disposable & { readonly signal: AbortSignal } {
  const tooLong = new AbortController();
  let before: number | null = null;
  const look = async () => {
    const { user, system } = await thread.cpuUsage();
    const ms = (user + system) / 1_000;
    before ??= ms;
    if (ms - before > mostMs) tooLong.abort(new Error('It takes too long'));
  };
  // One that is only being started cannot tell yet.
  const tryToLook = () => void look().catch(() => {});
  tryToLook();
  const looking = setInterval(tryToLook, lookMs);
  return { signal: tooLong.signal, [Symbol.dispose]: () => clearInterval(looking) };
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
