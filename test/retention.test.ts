import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { request } from 'undici';
import { sql } from '../src/db/drizzle.ts';
import { Emulator } from '../src/emulator/emulator.ts';
import { eventually } from './support/eventually.ts';
import { multipartForm } from './support/form.ts';
import type { TaskBody } from './support/gateway-client.ts';
import { samplePng } from './support/media-samples.ts';
import { SourceServer } from './support/source-server.ts';
import {
  connectTestDatabase,
  createTestDatabase,
  enginesAboveStores,
  type TestDatabase,
} from './support/test-database.ts';
import { TestGateway, type TestGatewayOptions } from './support/test-gateway.ts';
import { createTestWorkflows, sleepGraph } from './support/test-workflows.ts';

/** No WebP is so wide: its first result can be encoded, its second cannot. */
const secondTooWide = {
  ...sleepGraph(0.01),
  '4': {
    class_type: 'ImageScale',
    inputs: {
      image: ['2', 0],
      upscale_method: 'nearest-exact',
      width: 16_384,
      height: 8,
      crop: 'disabled',
    },
  },
  '5': { class_type: 'SaveImage', inputs: { images: ['4', 0], filename_prefix: 'wide' } },
};

for (const engine of enginesAboveStores) {
  describe(`what tasks leave in the store, on ${engine}`, () => {
    let cleanup: AsyncDisposableStack;
    let database: TestDatabase;
    let picture: Buffer;
    let sources: SourceServer;
    let task: { readonly url: string; readonly workflow: string };
    let options: TestGatewayOptions;

    beforeEach(async () => {
      cleanup = new AsyncDisposableStack();
      const emulator = cleanup.use(await Emulator.start());
      sources = cleanup.use(await SourceServer.start());
      const workflows = cleanup.use(await createTestWorkflows(0.01));
      await workflows.write('wide', secondTooWide);
      await workflows.write('shown', {
        ...sleepGraph(0.01),
        '8': { class_type: 'PrimitiveString', inputs: { value: 'a caption' } },
        '9': { class_type: 'PreviewAny', inputs: { source: ['8', 0] } },
      });
      database = cleanup.use(await createTestDatabase(engine));
      picture = await samplePng({ width: 16, height: 16, seed: 1 });
      task = { url: sources.file('a.png', picture), workflow: 'sleep' };
      const dataDir = await mkdtemp(join(tmpdir(), 'tmlsr-data-'));
      cleanup.defer(() => rm(dataDir, { recursive: true, force: true }));
      options = {
        engine,
        database,
        dataDir,
        backends: [emulator.url],
        env: { SOURCE_ALLOW: sources.host, WORKFLOWS_DIR: workflows.folder },
      };
    });
    afterEach(() => cleanup.disposeAsync());

    async function objects({ dataDir }: TestGateway): Promise<string[]> {
      const entries = await readdir(join(dataDir, 'objects'), {
        recursive: true,
        withFileTypes: true,
      });
      return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
    }

    async function completed(gateway: TestGateway, change: object = {}): Promise<TaskBody> {
      const done = await gateway.until(await gateway.submit({ ...task, ...change }));
      assert.equal(done.status, 'completed', done.error ?? '');
      return done;
    }

    async function statusOf(link: string | null | undefined): Promise<number> {
      const { statusCode, body } = await request(link ?? '');
      await body.dump();
      return statusCode;
    }

    it('goes after its days, and the task tells since when', async () => {
      const first = await TestGateway.start(options);
      const old = await completed(first, { workflow: 'shown' });
      assert.equal(old.text, 'a caption');
      assert.equal(await resultsRemovedAt(first, old), null);
      await first[Symbol.asyncDispose]();
      await ageBy(3, old);
      const env = { ...options.env, RETENTION_DAYS: '2.5' };
      await using next = await TestGateway.start({ ...options, env });
      const young = await completed(next);
      const removedAt = await eventually(async () => {
        const at = await resultsRemovedAt(next, old);
        assert.ok(at);
        return at;
      });
      assert.ok(Math.abs(Date.parse(removedAt) - Date.now()) < 60_000);
      const gone = await next.task(old.task_id);
      assert.deepEqual([gone.text, gone.outputs.length], [null, 2]);
      const base = `${next.url}/objects/`;
      const links = [old.output?.url, old.output?.thumbnail_url].map(
        (link) => base + link?.split('/objects/')[1],
      );
      for (const link of links) {
        const { statusCode, body } = await request(link);
        assert.equal(statusCode, 404);
        assert.equal(((await body.json()) as { code: string }).code, 'object_not_found');
      }
      assert.equal(await statusOf(young.output?.url), 200);
      assert.equal((await objects(next)).length, 2);
      await next[Symbol.asyncDispose]();
      // The same gateway may forget the task as well.
      const forgets = { ...options.env, RECORD_RETENTION_DAYS: '2.5' };
      await using last = await TestGateway.start({ ...options, env: forgets });
      await eventually(async () =>
        assert.equal((await last.call('GET', `/tasks/${old.task_id}`)).status, 404),
      );
      assert.equal((await last.call('GET', `/tasks/${young.task_id}`)).status, 200);
      assert.equal((await last.counts()).completed, 2);
    });

    it('is nothing when a task fails after its first result was stored', async () => {
      await using gateway = await TestGateway.start(options);
      const { contentType, body } = multipartForm([
        ['file', { bytes: picture, fileName: 'a.png' }],
        ['workflow', 'wide'],
        ['format', 'webp'],
      ]);
      const answer = await request(`${gateway.url}/tasks`, {
        method: 'POST',
        headers: { 'content-type': contentType },
        body,
      });
      const { task_id } = (await answer.body.json()) as { task_id: string };
      const failed = await gateway.until(task_id);
      assert.equal(failed.error_code, 'media_too_large');
      assert.equal(failed.stages[2]?.status, 'failed');
      await eventually(async () => assert.deepEqual(await objects(gateway), []));
      await eventually(async () => assert.deepEqual(await gateway.spooled(), []));
    });

    it('is nothing when a task is canceled, whenever that comes', async () => {
      await using gateway = await TestGateway.start(options);
      for (let waitMs = 0; waitMs < 200; waitMs += 10) {
        const id = await gateway.submit(task);
        await new Promise((resolve) => setTimeout(resolve, waitMs));
        await gateway.call('DELETE', `/tasks/${id}`);
      }
      await eventually(async () => {
        const { pending, processing, completed } = await gateway.counts();
        assert.deepEqual([pending, processing], [0, 0]);
        // Each with its thumbnail.
        assert.equal((await objects(gateway)).length, 2 * completed);
      });
      await eventually(async () => assert.deepEqual(await gateway.spooled(), []));
    });

    /** As if the task had ended so many days before. */
    async function ageBy(days: number, { task_id }: TaskBody): Promise<void> {
      // The embedded one is where its gateway keeps it.
      const dataDir = join(options.dataDir ?? '', 'db');
      await using connected = await connectTestDatabase(
        engine === 'pglite' ? { engine, dataDir } : database.options,
      );
      await connected.orm.execute(
        sql`update tasks set finished_at = finished_at - ${days} * interval '1 day'
             where id = ${task_id}::uuid`,
      );
    }

    async function resultsRemovedAt(
      gateway: TestGateway,
      { task_id }: TaskBody,
    ): Promise<string | null> {
      const { body } = await gateway.call('GET', `/tasks/${task_id}`);
      return body.results_removed_at;
    }
  });
}
