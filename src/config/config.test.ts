import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { z } from 'zod';
import { dialectSettings } from '../http/dialects/index.ts';
import * as config from './config.ts';
import { ConfigError } from './config.ts';
import type { Env } from './env.ts';

const readConfig = (env: Env) => config.readConfig(env, dialectSettings);
const settingNames = config.settingNames(dialectSettings);

const read = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), 'utf8');

describe('readConfig', () => {
  it('has a default for everything', () => {
    const config = readConfig({});
    assert.equal(config.host, '127.0.0.1');
    assert.equal(config.port, 6008);
    assert.equal(config.databaseUrl, null);
    assert.deepEqual(config.storage, { driver: 'disk' });
    assert.equal(config.backends, null);
    assert.deepEqual(readConfig({ COMFYUI_BACKENDS: 'none' }).backends, []);
    assert.match(config.workflowsDir, /workflows$/);
  });

  it('takes an empty variable for none', () => {
    assert.deepEqual(readConfig({ PORT: '', DATABASE_URL: '', OSS_ENDPOINT: '' }), readConfig({}));
  });

  it('reads backends with their credentials', () => {
    const { backends } = readConfig({ COMFYUI_BACKENDS: 'http://a:1, https://u:p@b/x,' });
    assert.deepEqual(
      backends?.map((entry) => (entry.kind === 'fixed' ? entry.address.label : entry.label)),
      ['http://a:1', 'https://b/x'],
    );
  });

  it('reads input folders by the servers that they are of', () => {
    const COMFYUI_INPUT_DIRS = 'http://u:p@a:1/=/mnt/a=b/input, https://b/x=/mnt/b/';
    assert.deepEqual(
      [...readConfig({ COMFYUI_INPUT_DIRS }).inputDirs],
      [
        ['http://a:1', '/mnt/a=b/input'],
        ['https://b/x', '/mnt/b/'],
      ],
    );
    for (const wrong of ['/mnt/a', 'http://a=', 'http://a=mnt', 'http://a=/x,http://a/=/y']) {
      assert.throws(() => readConfig({ COMFYUI_INPUT_DIRS: wrong }), /COMFYUI_INPUT_DIRS entry/);
    }
  });

  it('reads hosts without ports and schemes', () => {
    const ALLOWED_HOSTS = 'Gateway.lan, *.example.com,192.168.0.7, fd00::7,[fd00::8]';
    assert.deepEqual(readConfig({ ALLOWED_HOSTS }).allowedHosts, [
      ...['gateway.lan', '*.example.com', '192.168.0.7', 'fd00::7', '[fd00::8]'],
    ]);
    for (const wrong of ['*', 'http://a', 'a:80', 'a/b', 'a@b', 'a b', '127.1']) {
      assert.throws(() => readConfig({ ALLOWED_HOSTS: wrong }), /ALLOWED_HOSTS entry 1/, wrong);
    }
  });

  it('tells everything that is wrong in one message, and no secret', () => {
    const env = {
      PORT: '70000',
      PUBLIC_URL: 'example.com',
      DATABASE_URL: 'mysql://x',
      COMFYUI_BACKENDS: 'http://a,ftp://u:secret@b',
      STORAGE: 'oss',
      SOURCE_ALLOW: '10.0.0.0/8,not a host',
      MAX_SOURCE_BYTES: '-1',
      LOG_LEVEL: 'loud',
    };
    assert.throws(
      () => readConfig(env),
      (error) => {
        assert.ok(error instanceof ConfigError);
        for (const name of Object.keys(env).filter((key) => key !== 'STORAGE')) {
          assert.match(error.message, new RegExp(`\\b${name} `), name);
        }
        for (const name of ['OSS_REGION', 'OSS_BUCKET', 'OSS_ACCESS_KEY_SECRET']) {
          assert.match(error.message, new RegExp(`${name} must be set when STORAGE is oss`));
        }
        assert.doesNotMatch(error.message, /secret@/);
        return true;
      },
    );
  });

  it('asks for the keys of the chosen store, or takes them from its own chain', () => {
    const bucket = { STORAGE: 's3', S3_REGION: 'eu-central-1', S3_BUCKET: 'results' };
    assert.throws(() => readConfig(bucket), /S3_SECRET_ACCESS_KEY must be set when STORAGE is s3/);
    const { storage } = readConfig({ ...bucket, S3_CREDENTIALS: 'chain', S3_SIGN_URLS: '3600' });
    assert.ok(storage.driver === 's3');
    assert.equal(storage.accessKeyId, null);
    assert.equal(storage.signedUrlSeconds, 3600);
    assert.throws(
      () => readConfig({ STORAGE: 'oss', OSS_CREDENTIALS: 'chain', OSS_SIGN_URLS: '604801' }),
      (error: Error) => {
        assert.match(error.message, /OSS_REGION must be set/);
        assert.doesNotMatch(error.message, /OSS_ACCESS_KEY_ID/);
        assert.match(error.message, /OSS_SIGN_URLS must be a whole number from 1 to 604800/);
        return true;
      },
    );
  });

  it('names both where one key stands under two names, or for clients and operators', () => {
    const [key, other] = ['shared-secret-0123456789', 'other-secret-0123456789'];
    const wrong: [env: Env, names: RegExp][] = [
      [{ API_KEYS: `alice:${key},bob:${key}` }, /alice of API_KEYS and bob of API_KEYS have/],
      [
        { API_KEYS: `alice:${key}`, OPERATOR_KEYS: `ops:${key}` },
        /alice of API_KEYS and ops of OPERATOR_KEYS have/,
      ],
      [
        { API_KEYS: `ops:${key}`, OPERATOR_KEYS: `ops:${key}` },
        /ops of API_KEYS and ops of OPERATOR_KEYS have/,
      ],
    ];
    for (const [env, names] of wrong) {
      assert.throws(
        () => readConfig({ ...env, PORT: '70000' }),
        (error: Error) => {
          assert.match(error.message, names);
          assert.match(error.message, /PORT must be/);
          return !error.message.includes(key);
        },
      );
    }
    const good = [
      { API_KEYS: `alice:${key},alice:${other}` },
      { API_KEYS: `alice:${key},alice:${key}` },
      { API_KEYS: `ops:${key}`, OPERATOR_KEYS: `ops:${other}` },
    ];
    for (const env of good) assert.ok(readConfig(env).apiKeys.length > 1);
  });

  it('reads what others declare with its own settings', () => {
    const declared = [
      { schemas: { THEIR_LIMIT: z.coerce.number().default(7) }, prefix: 'THEIR_' },
      { schemas: { OTHERS: z.string('must be set') }, prefix: 'OTHER_' },
    ];
    const read = (env: Env) => config.readConfig(env, declared).dialectSettings;
    assert.deepEqual(read({ OTHERS: 'x' }), { THEIR_LIMIT: 7, OTHERS: 'x' });
    assert.throws(
      () => read({ PORT: 'x', THEIR_LIMIT: '' }),
      /PORT must be a whole number.*\n {2}OTHERS must be set/,
    );
    const env = { THEIR_LIMIT: '1', THEIR_LIMITS: '1', OTHERS: 'x', OTHERS_TOO: 'x' };
    assert.deepEqual(config.unknownSettings(env, declared), ['THEIR_LIMITS']);
  });

  it('notices names that look like ours and are not', () => {
    assert.deepEqual(
      config.unknownSettings({ OSS_BUKET: 'x', COMFYUI_BACKENDS: 'y', PATH: 'z' }, dialectSettings),
      ['OSS_BUKET'],
    );
  });
});

describe('how long results and records are kept', () => {
  it('is so that no result outlives the record of its task', () => {
    const kept = (env: Env) => {
      const { retention, recordRetentionMs } = readConfig(env);
      const days = (ms: number | null) => ms && ms / 86_400_000;
      return [days(retention.retentionMs), days(recordRetentionMs)];
    };
    assert.deepEqual(kept({}), [null, null]);
    assert.deepEqual(kept({ RETENTION_DAYS: '2' }), [2, null]);
    assert.deepEqual(kept({ RECORD_RETENTION_DAYS: '3' }), [3, 3]);
    assert.deepEqual(kept({ RETENTION_DAYS: '2', RECORD_RETENTION_DAYS: '3' }), [2, 3]);
    assert.deepEqual(kept({ RETENTION_DAYS: '4', RECORD_RETENTION_DAYS: '3' }), [3, 3]);
  });
});

describe('the documents', () => {
  it('name every setting once, and no other', async () => {
    assert.equal(new Set(settingNames).size, settingNames.length);
    const example = [...(await read('.env.example')).matchAll(/^([A-Z0-9_]+)=/gm)].map((m) => m[1]);
    assert.deepEqual(example.sort(), [...settingNames].sort());
    const reference = await read('docs/configuration.md');
    for (const name of settingNames) assert.match(reference, new RegExp(`\`${name}\``), name);
  });

  it('show the defaults as they are', async () => {
    const example = [...(await read('.env.example')).matchAll(/^([A-Z0-9_]+)=(.+)$/gm)];
    const env = Object.fromEntries(example.map(([, name, value]) => [name, value]));
    assert.deepEqual(readConfig(env), readConfig({}));
  });
});
