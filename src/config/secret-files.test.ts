import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readConfig, unknownSettings } from './config.ts';
import { secretFileNames } from './secret-files.ts';

describe('secrets from files', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tmlsr-secrets-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  async function file(text: string): Promise<string> {
    const path = join(folder, `${crypto.randomUUID()}`);
    await writeFile(path, text);
    return path;
  }
  const read = (env: Readonly<Record<string, string>>) => readConfig(env, []);

  it('are read as if they were given, with the line at their end left out', async () => {
    const config = read({
      DATABASE_URL_FILE: await file('postgres://u:p@db/tmlsr\n'),
      API_KEYS_FILE: await file('alice:alice-0123456789abcdef\r\nbob:bob-0123456789abcdef\n'),
      STORAGE: 's3',
      ...{ S3_BUCKET: 'b', S3_REGION: 'eu-central-1', S3_ACCESS_KEY_ID: 'id' },
      S3_SECRET_ACCESS_KEY_FILE: await file('hush hush\n'),
    });
    assert.equal(config.databaseUrl, 'postgres://u:p@db/tmlsr');
    assert.deepEqual(
      config.apiKeys.map(({ name, key }) => `${name}:${key}`),
      ['alice:alice-0123456789abcdef', 'bob:bob-0123456789abcdef'],
    );
    assert.match(JSON.stringify(config.storage), /"hush hush"/);
  });

  it('are told where they cannot be had, or are given twice, and no secret is', async () => {
    const wrong = {
      API_KEYS: 'alice:alice-0123456789abcdef',
      API_KEYS_FILE: await file('alice:alice-0123456789abcdef'),
      OPERATOR_KEYS_FILE: await file('\n'),
      COMFYUI_BACKENDS_FILE: await file(' ,\n,\n'),
      DATABASE_URL_FILE: join(folder, 'none'),
    };
    assert.throws(
      () => read(wrong),
      ({ message }: Error) => {
        assert.match(message, /API_KEYS and API_KEYS_FILE are both set/);
        assert.match(message, /OPERATOR_KEYS_FILE: \S+ is empty/);
        assert.match(message, /COMFYUI_BACKENDS_FILE: \S+ is empty/);
        assert.match(message, /DATABASE_URL_FILE: \S+none cannot be read \(ENOENT\)/);
        return !message.includes('0123456789');
      },
    );
  });

  it('are no misspelt settings, and documented', async () => {
    assert.deepEqual(unknownSettings({ OSS_STS_TOKEN_FILE: 'x', OSS_BUCKET_FILE: 'y' }, []), [
      'OSS_BUCKET_FILE',
    ]);
    const page = await readFile(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
    for (const name of secretFileNames) assert.ok(page.includes(`\`${name}\``), name);
  });
});
