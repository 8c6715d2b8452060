import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Config, ConfigError, dataFolders } from '../config/config.ts';
import { systemCodeOf } from '../core/system-code.ts';

type Folders = Pick<Config, 'dataDir' | 'databaseUrl' | 'storage' | 'workflowsDir'>;

/** What systems say, in words that say what to do. */
const reasons: Readonly<Record<string, string>> = {
  EACCES: 'the user that runs the gateway has no right to',
  EPERM: 'the user that runs the gateway has no right to',
  EROFS: 'its file system can only be read',
  ENOTDIR: 'a part of the path is a file',
  EEXIST: 'there is a file of that name',
  ENOENT: 'it does not exist',
};

/** A full disk is waited for, and keeps nobody from starting. */
const full = new Set(['ENOSPC', 'EDQUOT']);

/**
 * Makes sure of the folders that the settings name, before anything is begun in them.
 *
 * @throws ConfigError naming those that cannot be used.
 */
export async function checkFolders(config: Folders): Promise<void> {
  const { dataDir, databaseUrl, storage, workflowsDir } = config;
  const { database, objects, spool } = dataFolders(dataDir);
  const written = [
    // The lock lies beside the database.
    ...(databaseUrl === null ? [dataDir, database] : []),
    ...(storage.driver === 'disk' ? [objects] : []),
    spool,
  ];
  const problems: string[] = [];
  for (const folder of written) {
    const code = await writeFault(folder);
    if (code === null) continue;
    problems.push(`DATA_DIR: ${folder} cannot be written to: ${reasonOf(code)}`);
    break;
  }
  const code = await readdir(workflowsDir).then(() => null, systemCodeOf);
  if (code !== null) {
    problems.push(`WORKFLOWS_DIR: ${workflowsDir} cannot be read: ${reasonOf(code)}`);
  }
  if (problems.length > 0) throw new ConfigError(problems);
}

/** The system's code; `null` where a file can be put there. */
async function writeFault(folder: string): Promise<string | null> {
  const probe = join(folder, `.probe-${randomUUID()}`);
  try {
    await mkdir(folder, { recursive: true });
    await writeFile(probe, '');
    await rm(probe);
    return null;
  } catch (error) {
    const code = systemCodeOf(error);
    return full.has(code) ? null : code;
  }
}

function reasonOf(code: string): string {
  return code in reasons ? `${reasons[code]} (${code})` : code;
}
