import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { FromHeicThread, ToHeicThread } from './heic-thread.ts';

/** 100 megapixels take 800 MB. */
const maxMemoryBytes = 1024 ** 3;

/**
 * The picture of a HEIC file, upright, as a TIFF in memory, which sharp reads. The libvips that comes with
 * sharp has no decoder for HEVC; libheif's WebAssembly has, in a thread that can be ended.
 *
 * @throws Error with libheif's words; the signal's reason.
 */
export async function heicAsTiff(
  picture: Omit<ToHeicThread, 'maxMemoryBytes'>,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const thread = new Worker(new URL('./heic-thread.ts', import.meta.url), {
    workerData: { ...picture, maxMemoryBytes } satisfies ToHeicThread,
    resourceLimits: { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 32 },
    stdout: true,
    stderr: true,
  });
  const ended = async (): Promise<never> => {
    await once(thread, 'exit', { signal });
    throw new Error('The thread ended without an answer');
  };
  try {
    const answers = once(thread, 'message', { signal }) as Promise<[FromHeicThread]>;
    const [answer] = await Promise.race([answers, ended()]);
    if (answer.kind === 'failed') throw new Error(answer.reason);
    return answer.bytes;
  } finally {
    await thread.terminate();
  }
}
