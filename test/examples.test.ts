import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { Emulator } from '../src/emulator/emulator.ts';
import { dialects } from '../src/http/dialects/index.ts';
import { samplePng } from './support/media-samples.ts';
import { patienceMs } from './support/patience.ts';
import { SourceServer } from './support/source-server.ts';
import { TestGateway } from './support/test-gateway.ts';

const run = promisify(execFile);
const examples = fileURLToPath(new URL('../examples', import.meta.url));

/** What runs them, and how to find out whether the machine has it. */
const languages = {
  'curl.sh': { command: 'bash', asks: ['-c', 'command -v curl'] },
  'client.py': { command: 'python3', asks: ['--version'] },
  'client.ts': { command: process.execPath, asks: ['--version'] },
} as const;

/** The task manager's clients bring an address, as its API does. */
const withAddress = new Set(['task-manager']);

describe('the examples', async () => {
  const cleanup = new AsyncDisposableStack();
  let gateway: TestGateway;
  let folder: string;
  let file: string;
  let url: string;

  before(async () => {
    const emulator = cleanup.use(await Emulator.start());
    const sources = cleanup.use(await SourceServer.start());
    gateway = cleanup.use(
      await TestGateway.start({
        engine: 'pglite',
        backends: [emulator.url],
        env: { SOURCE_ALLOW: sources.host, TARGET_ALLOW: sources.host },
      }),
    );
    folder = await mkdtemp(join(tmpdir(), 'tmlsr-examples-'));
    cleanup.defer(() => rm(folder, { recursive: true, force: true }));
    file = join(folder, 'picture.png');
    const bytes = await samplePng({ width: 24, height: 24, seed: 1 });
    await writeFile(file, bytes);
    url = sources.file('picture.png', bytes);
  });
  after(() => cleanup.disposeAsync());

  for (const { name, prefix } of dialects) {
    for (const script of await readdir(join(examples, name))) {
      const language = languages[script as keyof typeof languages];
      const has =
        language &&
        (await run(language.command, language.asks).then(
          () => true,
          () => false,
        ));
      it(`${name}/${script} gets its result`, {
        skip: !has && 'its language is not here',
      }, async () => {
        assert.ok(language, 'an example in a language that nobody runs');
        const result = join(folder, `${name}-${script}.result`);
        const source = withAddress.has(name) ? url : file;
        await run(language.command, [join(examples, name, script), source, result], {
          env: { ...process.env, BASE_URL: gateway.url + prefix },
          timeout: patienceMs,
        });
        const { width = 0 } = await sharp(await readFile(result)).metadata();
        assert.ok(width >= 24);
      });
    }
  }
});
