import { execFile } from 'node:child_process';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { createBrotliDecompress } from 'node:zlib';
import { type Browser, chromium } from 'playwright-core';

/** Where systems keep one; the first that is there is taken. */
const installed = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
];

const flags = [
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-quic',
];

/**
 * A headless Chromium: the machine's own, or where it has none the one that comes with the npm package
 * `@sparticuz/chromium` (Linux on x64), with the libraries that it needs.
 */
export async function openBrowser(): Promise<Browser> {
  const found = installed.find((path) => existsSync(path));
  if (found) return await chromium.launch({ executablePath: found, args: flags });
  const folder = await unpacked();
  return await chromium.launch({
    executablePath: join(folder, 'chromium'),
    args: flags,
    env: { ...(process.env as Record<string, string>), LD_LIBRARY_PATH: join(folder, 'lib') },
  });
}

/** Unpacked once a machine: 200 MB, three seconds. Test files that come at the same time do not meet. */
async function unpacked(): Promise<string> {
  const require = createRequire(import.meta.url);
  const packed = join(dirname(require.resolve('@sparticuz/chromium')), '..', 'bin');
  const folder = join(tmpdir(), 'tmlsr-chromium-153');
  if (existsSync(folder)) return folder;
  const making = await mkdtemp(`${folder}-`);
  const executable = join(making, 'chromium');
  await pipeline(
    createReadStream(join(packed, 'chromium.br')),
    createBrotliDecompress(),
    createWriteStream(executable),
  );
  await chmod(executable, 0o755);
  await untar(join(packed, 'al2023.tar.br'), making);
  await rename(making, folder).catch(async (error) => {
    // Another was quicker.
    await rm(making, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  });
  return folder;
}

async function untar(packed: string, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  // tar does not read what follows the end of an archive, so that a pipe to it may break.
  const archive = `${folder}.tar`;
  await pipeline(createReadStream(packed), createBrotliDecompress(), createWriteStream(archive));
  await promisify(execFile)('tar', ['-x', '-f', archive, '-C', folder]);
  await rm(archive);
}
