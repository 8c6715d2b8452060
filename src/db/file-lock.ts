import { DatabaseSync } from 'node:sqlite';

/**
 * Takes a lock that the operating system gives back when the process dies, however it dies; `null`
 * when another process has it. Node has no `flock`, but its SQLite locks files: also across
 * containers that share a local volume, where a file with a process id in it tells nothing.
 */
export function lockFile(path: string): Disposable | null {
  const file = new DatabaseSync(path);
  try {
    file.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (error) {
    file.close();
    if (isBusy(error)) return null;
    throw error;
  }
  return { [Symbol.dispose]: () => file.close() };
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === 5;
}
