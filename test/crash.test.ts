import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { request } from 'undici';
import { Emulator } from '../src/emulator/emulator.ts';
import { GatewayProcess } from './support/gateway-process.ts';
import { samplePng } from './support/media-samples.ts';
import { SourceServer } from './support/source-server.ts';
import { createTestDatabase, engines } from './support/test-database.ts';
import { createTestWorkflows } from './support/test-workflows.ts';

for (const engine of engines) {
  describe(`the process, on ${engine}`, () => {
    let cleanup: AsyncDisposableStack;
    let emulator: Emulator;
    let url: string;
    let dataDir: string;
    let env: Record<string, string>;

    beforeEach(async () => {
      cleanup = new AsyncDisposableStack();
      emulator = cleanup.use(await Emulator.start());
      const sources = cleanup.use(await SourceServer.start());
      const workflows = cleanup.use(await createTestWorkflows(2));
      const database = cleanup.use(await createTestDatabase(engine));
      dataDir = await mkdtemp(join(tmpdir(), 'tmlsr-data-'));
      cleanup.defer(() => rm(dataDir, { recursive: true, force: true }));
      url = sources.file('a.png', await samplePng({ width: 16, height: 16, seed: 1 }));
      env = {
        DATA_DIR: dataDir,
        WORKFLOWS_DIR: workflows.folder,
        SOURCE_ALLOW: sources.host,
        COMFYUI_BACKENDS: emulator.url,
        ...(database.options.engine === 'postgres' ? { DATABASE_URL: database.options.url } : {}),
      };
    });
    afterEach(() => cleanup.disposeAsync());

    async function submit(gateway: GatewayProcess, task: object): Promise<string> {
      const { body } = await request(`${gateway.url}/tasks`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(task),
      });
      return ((await body.json()) as { task_id: string }).task_id;
    }

    async function completed(gateway: GatewayProcess, id: string) {
      const deadline = Date.now() + 60_000;
      for (;;) {
        const { body } = await request(`${gateway.url}/tasks/${id}`);
        const task = (await body.json()) as { status: string; retries: number; error: string };
        if (task.status === 'completed') return task;
        assert.ok(task.status === 'pending' || task.status === 'processing', task.error);
        assert.ok(Date.now() < deadline, `still ${task.status}`);
        await delay(50);
      }
    }

    async function promptRuns(): Promise<void> {
      const deadline = Date.now() + 10_000;
      while (emulator.runs.length === 0) {
        assert.ok(Date.now() < deadline, 'no prompt began');
        await delay(10);
      }
    }

    it('is killed with a prompt running and adopts it when it is back', async () => {
      await using first = await GatewayProcess.start(env);
      const running = await submit(first, { url, workflow: 'sleep' });
      const waiting = await submit(first, { url, workflow: 'sleep' });
      await promptRuns();
      await first.end('SIGKILL');
      await using second = await GatewayProcess.start(env);
      assert.equal((await completed(second, running)).retries, 0);
      // It was being made ready when the gateway died: that attempt counts, and cost no GPU.
      assert.equal((await completed(second, waiting)).retries, 1);
      assert.equal(emulator.runs.length, 2, 'a prompt ran twice');
      const spools = await readdir(join(dataDir, 'spool'));
      assert.equal(spools.filter((name) => !name.endsWith('.lock')).length, 1);
    });

    it('stops when it is asked to, and leaves the prompt to the next one', async () => {
      await using first = await GatewayProcess.start(env);
      const id = await submit(first, { url, workflow: 'sleep' });
      await promptRuns();
      const asked = Date.now();
      assert.equal(await first.end('SIGTERM'), 0);
      assert.ok(Date.now() - asked < 5_000);
      assert.deepEqual(await readdir(join(dataDir, 'spool')), []);
      await using second = await GatewayProcess.start(env);
      assert.equal((await completed(second, id)).retries, 0);
      assert.equal(emulator.runs.length, 1);
    });
  });
}
