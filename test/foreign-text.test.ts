import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { request } from 'undici';
import { backends } from '../src/db/schema.ts';
import type { Emulator } from '../src/emulator/emulator.ts';
import { eventually } from './support/eventually.ts';
import { scenesAtOnce } from './support/patience.ts';
import { completes, isIdle, Scene, Supplies, untilBackend } from './support/pool-scene.ts';
import type { ReverseProxy } from './support/reverse-proxy.ts';
import {
  connectTestDatabase,
  createTestDatabase,
  engines,
  type TestDatabase,
} from './support/test-database.ts';
import type { TestGateway } from './support/test-gateway.ts';

/** What Postgres does not take: a NUL, and half of an emoji that somebody cut. */
const said = 'C:\\u0000 a\0b \ud83d';
const kept = 'C:\\u0000 a\ufffdb \ufffd';
const model = 'RealESRGAN_x4plus.pth';

describe('a ComfyUI server whose text cannot be kept as it is', {
  concurrency: scenesAtOnce,
}, () => {
  for (const engine of engines) {
    describe(`on ${engine}`, { concurrency: 1 }, () => {
      const cleanup = new AsyncDisposableStack();
      let url: string;
      let emulator: Emulator;
      let server: ReverseProxy;
      let database: TestDatabase;
      let gateway: TestGateway;

      before(async () => {
        const supplies = cleanup.use(await Supplies.open());
        const scene = cleanup.use(new Scene(supplies));
        url = supplies.url;
        emulator = await scene.emulator({ withoutModels: [model] });
        server = await scene.proxy(emulator.url);
        server.answerWith('/system_stats', 200, {
          system: { comfyui_version: said },
          devices: [{ name: said, vram_total: 2, vram_free: 1 }],
        });
        server.answerWith('/object_info', 200, await withForeignNames(emulator));
        database = cleanup.use(await createTestDatabase(engine));
        const env = { MAX_ATTEMPTS: '1' };
        gateway = await scene.gateway([server], { engine, database, env });
      });
      after(() => cleanup.disposeAsync());

      async function ends(): Promise<[code: string | null, message: string | null]> {
        const task = await gateway.until(await gateway.submit({ url, workflow: 'sleep' }));
        assert.equal(task.status, 'failed');
        return [task.error_code, task.error];
      }

      it('has its node’s error shown', async () => {
        emulator.faults.failNode('EmulatorSleep', said, 1);
        assert.deepEqual(await ends(), ['execution_failed', `EmulatorSleep failed: ${kept}`]);
      });

      it('has a long error cut between two characters', async () => {
        emulator.faults.failNode('EmulatorSleep', 'x😀'.repeat(600), 1);
        const shown = 'x😀'.repeat(500);
        assert.deepEqual(await ends(), ['execution_failed', `EmulatorSleep failed: ${shown}`]);
      });

      it('has its refusal of a prompt shown, and nobody’s death is told of', async () => {
        const runs = emulator.runs.length;
        server.answerWith('/prompt', 400, refusal('custom_validation_failed'));
        const message = `ComfyUI refused the workflow: EmulatorSleep: ${kept}`;
        assert.deepEqual(await ends(), [
          'prompt_rejected',
          `${message} (custom_validation_failed)`,
        ]);
        server.answerWith('/prompt', 400, refusal('value_not_in_list'));
        assert.deepEqual(await ends(), ['workflow_unsupported', `${message} (value_not_in_list)`]);
        assert.equal(emulator.runs.length, runs);
      });

      it('is told of by its gateway, to people and to other gateways', async () => {
        const { cannot_run } = await untilBackend(gateway, server.url, isIdle);
        assert.match(cannot_run.sleep?.join() ?? '', /^ComfyUI refused the workflow/);
        assert.match(cannot_run.esrgan_image_4x?.join() ?? '', /has no model_name/);
        if (engine === 'pglite') return;
        await using other = await connectTestDatabase(database.options);
        await eventually(async () => {
          const [{ report } = { report: null }] = await other.orm.select().from(backends);
          assert.equal(report?.version, kept);
          assert.equal(report?.devices[0]?.name, kept);
          assert.ok(report?.cannotRun.sleep?.join().includes(kept));
        });
      });

      it('goes on working', async () => {
        server.answerFrom('/prompt', emulator.url);
        server.dropSockets();
        await untilBackend(gateway, server.url, ({ cannot_run }) => !('sleep' in cannot_run));
        await completes(gateway, await gateway.submit({ url, workflow: 'sleep' }));
      });
    });
  }
});

function refusal(type: string): object {
  const errors = [{ type, message: said, details: said }];
  const fault = { class_type: 'EmulatorSleep', errors, dependent_outputs: ['3', said] };
  return {
    error: { type: 'prompt_outputs_failed_validation', message: said, details: said },
    node_errors: { '2': fault },
  };
}

/** What the emulator has, and a class and a model whose names cannot be kept. */
async function withForeignNames(emulator: Emulator): Promise<object> {
  const { body } = await request(`${emulator.url}/object_info`);
  const info = (await body.json()) as Record<string, { input: { required: object } }>;
  const { UpscaleModelLoader: loader, EmulatorSleep: sleep } = info;
  const required = { model_name: [[`${model}${said}`, said], {}] };
  return {
    ...info,
    UpscaleModelLoader: { ...loader, input: { required } },
    [said]: { ...sleep, display_name: said },
  };
}
