import { mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A data folder of a gateway's own, with the objects of another. */
export async function dataDirBeside(dataDir: string, parts: AsyncDisposableStack): Promise<string> {
  const beside = await mkdtemp(join(tmpdir(), 'tmlsr-data-'));
  parts.defer(() => rm(beside, { recursive: true }));
  await mkdir(join(dataDir, 'objects'), { recursive: true });
  await symlink(join(dataDir, 'objects'), join(beside, 'objects'));
  return beside;
}

/** The copies of sources that gateways have put into the store for each other. */
export async function copies(dataDir: string): Promise<string[]> {
  return await readdir(join(dataDir, 'objects', 'sources')).catch(() => []);
}
