import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const shipped = fileURLToPath(new URL('../../workflows', import.meta.url));

export interface TestWorkflows extends AsyncDisposable {
  readonly folder: string;
  /** Drops a file into the folder, as an operator does. */
  write(name: string, content: unknown): Promise<void>;
}

/** A folder of workflows: the shipped ones, and `sleep`, which holds a backend for a while. */
export async function createTestWorkflows(sleepSeconds = 1): Promise<TestWorkflows> {
  const folder = await mkdtemp(join(tmpdir(), 'tmlsr-workflows-'));
  await cp(shipped, folder, { recursive: true });
  const write = (name: string, content: unknown) =>
    writeFile(
      join(folder, `${name}.json`),
      typeof content === 'string' ? content : JSON.stringify(content),
    );
  await write('sleep', sleepGraph(sleepSeconds));
  return {
    folder,
    write,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

/** `ticks`: at each it looks whether it is interrupted. */
export function sleepGraph(seconds: number, ticks = 10) {
  return {
    '1': { class_type: 'LoadImage', inputs: { image: 'input.png' } },
    '2': { class_type: 'EmulatorSleep', inputs: { image: ['1', 0], seconds, ticks } },
    '3': { class_type: 'SaveImage', inputs: { images: ['2', 0], filename_prefix: 'out' } },
  };
}

/** Gives the clip back as it is, without a look at its frames. */
export function passClipGraph(): Record<string, unknown> {
  return {
    '1': { class_type: 'LoadVideo', inputs: { file: 'input.mp4' } },
    '2': {
      class_type: 'SaveVideo',
      inputs: { video: ['1', 0], filename_prefix: 'out', format: 'auto', codec: 'auto' },
    },
  };
}
