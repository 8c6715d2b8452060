import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { findPackageJSON } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { bareEnv } from './support/bare-env.ts';

const program = fileURLToPath(new URL('../src/cli/demo.ts', import.meta.url));

describe('the demo', () => {
  it('upscales a photograph, visibly sharper than a bicubic resize, and a clip', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'tmlsr-demo-data-'));
    try {
      const env = { ...bareEnv, DATA_DIR: dataDir, PORT: '0', DATABASE_URL: '' };
      const { stdout } = await promisify(execFile)(process.execPath, [program, '--once'], { env });
      const paths = [...stdout.matchAll(/^path +(.+)$/gm)].map(([, path]) => path ?? '');
      assert.equal(paths.length, 2, stdout);
      assert.match(stdout, /before {2}128 x 128 pixels/);
      assert.match(stdout, /after {3}512 x 512 pixels/);
      assert.match(stdout, /before {2}96 x 96 pixels[\s\S]*after {3}192 x 192 pixels/);
      assert.ok(stdout.includes(`\n  rm -r ${dataDir}\n`), 'how to remove what is left behind');
      const before = await sharp(photograph())
        .resize(512, 512, { kernel: 'cubic' })
        .png()
        .toBuffer();
      const [bicubic, upscaled] = await Promise.all([before, paths[0]].map(sharpness));
      assert.ok((upscaled ?? 0) > 1.5 * (bicubic ?? 0), `${upscaled} against ${bicubic}`);
    } finally {
      await rm(dataDir, { recursive: true, force: true });
    }
  });
});

function photograph(): string {
  const description = findPackageJSON('@upscalerjs/esrgan-slim', import.meta.url);
  return join(dirname(description as string), 'assets', 'fixture.png');
}

async function sharpness(image: Buffer | string | undefined): Promise<number> {
  return (await sharp(image).stats()).sharpness;
}
