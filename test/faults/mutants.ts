import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Scenario } from './scenario.ts';

interface Change {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** A safeguard, what the service is without it, and what shows that it is missing. */
export interface Mutant {
  readonly without: string;
  readonly changes: readonly Change[];
  readonly scenario: Pick<Scenario, 'kinds' | 'everyMs'> & Partial<Scenario>;
}

/** Each has to break a promise, or nobody would notice that the safeguard is gone. */
export const mutants: readonly Mutant[] = [
  {
    without: 'the fence',
    changes: [
      {
        file: 'src/tasks/attempt-store.ts',
        from: 'and runs.owner = ',
        to: 'or runs.owner is null and runs.owner = ',
      },
      // The moves' own: from which states each starts.
      {
        file: 'src/tasks/door.ts',
        from: 'from.map((state) =>',
        to: "['pending', 'processing', 'completed'].map((state) =>",
      },
    ],
    // Long enough for its successor to end what it was at.
    scenario: { kinds: ['doze'], everyMs: 12_000, clients: 1, pauseMs: 500 },
  },
  {
    without: 'the adoption',
    changes: [
      {
        file: 'src/tasks/claim-store.ts',
        from: 'if (backends.length === 0) return [];',
        to: 'if (backends.length >= 0) return [];',
      },
    ],
    scenario: { kinds: ['kill'], everyMs: 3_000 },
  },
  {
    without: 'the guard',
    changes: [
      {
        file: 'src/media/source-policy.ts',
        from: 'return isPublic(address) || isAllowed(allow, address, port);',
        to: 'return isPublic(address) || isAllowed(allow, address, port) || true;',
      },
    ],
    scenario: { kinds: ['cut'], everyMs: 1_000 },
  },
  {
    without: 'the checksum',
    changes: [
      {
        file: 'src/storage/bucket-store.ts',
        from: 'function verify({ checksum, requestId }: Receipt, digest: Digest): void {',
        to: 'function verify({ checksum, requestId }: Receipt, digest: Digest): void {\n  if (digest) return;',
      },
    ],
    scenario: { kinds: ['corrupt'], everyMs: 1_000 },
  },
];

const root = fileURLToPath(new URL('../../', import.meta.url));

export interface MutantProgram extends AsyncDisposable {
  readonly program: string;
}

/**
 * A copy of the service without the safeguard.
 *
 * @throws Error when the code that is to be changed is not there any more.
 */
export async function grow({ changes }: Mutant): Promise<MutantProgram> {
  const folder = await mkdtemp(join(tmpdir(), 'tmlsr-mutant-'));
  await using parts = new AsyncDisposableStack();
  parts.defer(() => rm(folder, { recursive: true, force: true }));
  for (const each of ['src', 'test/faults', 'test/support', 'drizzle', 'vendor', 'package.json']) {
    await cp(join(root, each), join(folder, each), { recursive: true });
  }
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
  for (const { file, from, to } of changes) {
    const path = join(folder, file);
    const text = await readFile(path, 'utf8');
    if (text.split(from).length !== 2) throw new Error(`${file} does not hold once: ${from}`);
    await writeFile(path, text.replace(from, to.replaceAll('$', '$$')));
  }
  const owned = parts.move();
  return {
    program: join(folder, 'test/faults/gateway-main.ts'),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
