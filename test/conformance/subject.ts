/** The server under test: the emulator, or the real one behind COMFYUI_URL. */
import { type TestContext, test } from 'node:test';
import { fetch } from 'undici';
import { Emulator } from '../../src/emulator/emulator.ts';
import type { Faults } from '../../src/emulator/faults.ts';

export interface Subject extends AsyncDisposable {
  readonly url: string;
  /** `null`: a real server, which does not misbehave on demand. */
  readonly faults: Faults | null;
  readonly classes: ReadonlyMap<string, { input: { optional?: object } }>;
}

export async function openSubject(): Promise<Subject> {
  const given = process.env.COMFYUI_URL;
  if (given) {
    const url = given.replace(/\/$/, '');
    return {
      url,
      faults: null,
      classes: await classesOf(url),
      [Symbol.asyncDispose]: async () => {},
    };
  }
  const emulator = await Emulator.start({ maxUploadBytes: 8 * 1024 * 1024 });
  return {
    url: emulator.url,
    faults: emulator.faults,
    classes: await classesOf(emulator.url),
    [Symbol.asyncDispose]: () => emulator.close(),
  };
}

async function classesOf(url: string): Promise<Subject['classes']> {
  const response = await fetch(`${url}/object_info`);
  return new Map(Object.entries((await response.json()) as object));
}

/** Whether a real server differs from the recording as a newer version is known to. */
export function isNewer<Value>(
  subject: () => Subject,
  seen: Value,
  recorded: Value,
  newer: Value | undefined,
): boolean {
  return subject().faults === null && newer !== undefined && seen !== recorded && seen === newer;
}

export interface Needs {
  readonly classes?: readonly string[];
  readonly faults?: boolean;
  /** EmulatorSleep with a choice of ticks. */
  readonly ticks?: boolean;
}

/** A test that a real server without the needed classes or faults skips, saying why. */
export function situation(
  name: string,
  needs: Needs,
  subject: () => Subject,
  body: (t: TestContext) => Promise<void>,
): void {
  test(name, { timeout: 120_000 }, async (t) => {
    const { faults, classes } = subject();
    const missing = (needs.classes ?? []).filter((each) => !classes.has(each));
    const isReal = faults === null;
    if (isReal && missing.length > 0) return t.skip(`this server lacks ${missing.join(', ')}`);
    const sleep = classes.get('EmulatorSleep')?.input.optional ?? {};
    if (isReal && needs.ticks && !('ticks' in sleep)) {
      return t.skip("this server's EmulatorSleep always ticks");
    }
    if (isReal && needs.faults) return t.skip('a real server does not misbehave on demand');
    await body(t);
  });
}
