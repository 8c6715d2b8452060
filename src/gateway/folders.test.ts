import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ConfigError } from '../config/config.ts';
import { checkFolders } from './folders.ts';

describe('checkFolders', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tmlsr-folders-'));
    await writeFile(join(folder, 'file'), '');
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const settings = (dataDir: string, workflowsDir = folder) => ({
    ...{ dataDir: join(folder, dataDir), workflowsDir, databaseUrl: null },
    storage: { driver: 'disk' } as const,
  });

  it('makes the folders, and leaves nothing in them', async () => {
    await checkFolders(settings('data'));
    const made = await readdir(join(folder, 'data'), { recursive: true });
    assert.deepEqual(made.sort(), ['db', 'objects', 'spool']);
  });

  it('names every folder that cannot be used, and why', async () => {
    await assert.rejects(checkFolders(settings('file/data', join(folder, 'none'))), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, /DATA_DIR: \S+file\/data cannot be written to: .+ \(ENOTDIR\)/);
      assert.match(error.message, /WORKFLOWS_DIR: \S+none cannot be read: it does not exist/);
      return true;
    });
  });

  it('asks for no right that is not needed', {
    skip: process.getuid?.() === 0 && 'root may write anywhere',
  }, async () => {
    const root = join(folder, 'parted');
    await mkdir(join(root, 'spool'), { recursive: true });
    await chmod(root, 0o555);
    const bucket = { ...settings('parted').storage, driver: 'oss' } as unknown as Parameters<
      typeof checkFolders
    >[0]['storage'];
    await checkFolders({ ...settings('parted'), databaseUrl: 'postgres://a/b', storage: bucket });
    await assert.rejects(checkFolders(settings('parted')), ConfigError);
  });
});
