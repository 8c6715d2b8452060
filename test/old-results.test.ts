import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { request } from 'undici';
import { dataFolders } from '../src/config/config.ts';
import { Emulator } from '../src/emulator/emulator.ts';
import { eventually } from './support/eventually.ts';
import { GatewayClient } from './support/gateway-client.ts';
import { samplePng } from './support/media-samples.ts';
import { migrateUpTo, type OldDatabase } from './support/old-schema.ts';
import { patienceMs } from './support/patience.ts';
import { TestGateway } from './support/test-gateway.ts';

const keys = { alice: 'alice-secret-0123456789', bob: 'bob-secret-0123456789' };
const size = '{"outscale": null, "magnification": null, "dims": null}';
const sources = '[{"input": "image", "url": "https://example.com/holiday.png"}]';

describe('results from before their addresses held random bits', () => {
  const cleanup = new AsyncDisposableStack();
  const ids = { hub: randomUUID(), main: randomUUID(), waiting: randomUUID() };
  const keyOf = (id: string) => `${id.replaceAll('-', '')}/holiday.png`;
  let gateway: TestGateway;
  let dataDir: string;

  before(async () => {
    const emulator = cleanup.use(await Emulator.start());
    dataDir = await mkdtemp(join(tmpdir(), 'tmlsr-old-results-'));
    cleanup.defer(() => rm(dataDir, { recursive: true }));
    const png = await samplePng({ width: 16, height: 16, seed: 1 });
    const source = join(dataDir, 'objects', 'photos');
    await mkdir(source, { recursive: true });
    await writeFile(join(source, 'holiday.png'), png);
    for (const id of [ids.hub, ids.main]) {
      await mkdir(join(dataDir, 'objects', id.replaceAll('-', '')));
      await writeFile(join(dataDir, 'objects', keyOf(id)), png);
    }
    {
      const folder = { engine: 'pglite', dataDir: dataFolders(dataDir).database } as const;
      await mkdir(folder.dataDir, { recursive: true });
      await using old = await migrateUpTo('0008_operator_events', folder);
      await completed(old, ids.main, 'tmlsr', '{}');
      const params = '{"task_type": "denoise", "model_name": "denoise_b", "file_name": "holiday"}';
      await completed(old, ids.hub, 'uformer', params);
      await insert(old, ids.waiting, { state: `'failed'`, finished_at: 'now()' });
    }
    gateway = cleanup.use(
      await TestGateway.start({
        engine: 'pglite',
        dataDir,
        backends: [emulator.url],
        env: { API_KEYS: `alice:${keys.alice},bob:${keys.bob}` },
      }),
    );
  });
  after(() => cleanup.disposeAsync());

  /** As a gateway of before writes it. */
  async function insert(old: OldDatabase, id: string, columns: Readonly<Record<string, string>>) {
    const values = {
      ...{ id: `'${id}'`, dialect: `'tmlsr'`, kind: `'image'`, sources: `'${sources}'` },
      ...{ workflow: `'esrgan_image_4x'`, arguments: `'{}'`, size: `'${size}'`, params: `'{}'` },
      ...{ priority: '5', tenant: `'alice'`, ...columns },
    };
    await old.query(
      `insert into tasks (${Object.keys(values)}) values (${Object.values(values).join()})`,
    );
  }

  async function completed(old: OldDatabase, id: string, dialect: string, params: string) {
    const outputs = JSON.stringify([
      {
        ...{ name: 'result', key: keyOf(id), size: 12, sha256: 'ab', contentType: 'image/png' },
        ...{ input: null, output: null },
      },
    ]);
    await insert(old, id, {
      ...{ dialect: `'${dialect}'`, params: `'${params}'`, state: `'completed'` },
      ...{ outputs: `'${outputs}'`, stored_bytes: '12', finished_at: `'2026-01-02T03:04:05Z'` },
    });
  }

  const client = (who: keyof typeof keys) => new GatewayClient(gateway.url, keys[who]);
  async function statusOf(address: string, who?: keyof typeof keys): Promise<number> {
    const { statusCode, body } = await request(address, {
      signal: AbortSignal.timeout(patienceMs),
      headers: who ? { 'x-api-key': keys[who] } : {},
    });
    await body.dump();
    return statusCode;
  }

  it('are where they were: links open as they did', async () => {
    const task = await client('alice').task(ids.main.replaceAll('-', ''));
    assert.equal(task.output?.url, `${gateway.url}/objects/${keyOf(ids.main)}`);
    assert.equal(await statusOf(task.output?.url ?? ''), 200);
    const { body } = await client('alice').call('GET', `/api/image_status/${ids.hub}`);
    const [start = ''] = ids.hub.split('-');
    assert.match(body.result_path, new RegExp(`_${start}_holiday\\.png\\?id=${ids.hub}$`));
    const path = `${gateway.url}${body.result_path}`;
    assert.equal(await statusOf(path), 200);
    assert.equal(await statusOf(path.replace(/\?.*/, ''), 'bob'), 404);
  });

  it('are counted among the tasks of their tenant', async () => {
    const { completed, failed } = await client('alice').counts();
    assert.deepEqual([completed, failed], [2, 1]);
    assert.equal((await client('bob').counts()).completed, 0);
  });

  it('are sources for their tenant alone', async () => {
    const submit = (who: keyof typeof keys, key: string) =>
      client(who).submit({ url: `${gateway.url}/objects/${key}`, workflow: 'esrgan_image_2x' });
    const [own, others, anybodys] = await Promise.all([
      submit('alice', keyOf(ids.main)),
      submit('bob', keyOf(ids.main)),
      submit('bob', 'photos/holiday.png'),
    ]);
    assert.equal((await client('alice').until(own)).status, 'completed');
    assert.equal((await client('bob').until(others)).error_code, 'source_not_found');
    const done = await client('bob').until(anybodys);
    assert.match(done.output?.url ?? '', /\/[0-9a-f]{32}\/[0-9a-f]{32}\/holiday\.png$/);
  });

  it('go when their client is done with them', async () => {
    const [path] = (
      await client('alice').call('GET', `/api/image_status/${ids.hub}`)
    ).body.result_path.split('?');
    await client('alice').call('POST', '/api/confirm_download', { result_path: path });
    await client('alice').call('POST', '/api/clear_cache');
    const objects = () => readdir(join(dataDir, 'objects'));
    await eventually(async () =>
      assert.ok(!(await objects()).includes(ids.hub.replaceAll('-', ''))),
    );
  });
});
