import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Milestone } from '../src/telemetry/milestones.ts';
import { type CrashScene, crashAt, createCrashScene } from './support/crash-scene.ts';
import { GatewayProcess } from './support/gateway-process.ts';
import { patienceMs, scenesAtOnce } from './support/patience.ts';
import { isReal } from './support/tempo.ts';

/** The second time it comes there, so that tasks are in several states. */
const points: [Milestone, string][] = [
  ['claimed', 'after it claimed a task'],
  ['prompt-recorded', 'with a prompt on record that was not posted'],
  ['prompt-posted', 'after it posted a prompt'],
  ['prompt-running', 'with a prompt running'],
  ['uploading', 'when it begins to store a result'],
  ['stored', 'with a result stored and nothing said of it'],
];

async function losesNothing(scene: CrashScene, milestone: Milestone): Promise<void> {
  const tasks = await crashAt(scene, { milestone, nth: 2, tasks: 3 });
  for (const task of tasks) {
    assert.equal(task.status, 'completed', task.error ?? '');
    assert.equal(task.retries, 0);
  }
  // One run for each task, those of former crashes in this scene among them.
  assert.deepEqual(
    scene.runs().map(({ status }) => status),
    tasks.map(() => 'success'),
  );
  assert.deepEqual(await readdir(join(scene.dataDir, 'spool')), []);
}

async function detaches(scene: CrashScene): Promise<void> {
  const runsBefore = scene.runs().length;
  await using first = await GatewayProcess.start(scene.env);
  const id = await first.client.submit(scene.task);
  const deadline = Date.now() + patienceMs;
  while (scene.runs().length === runsBefore) {
    assert.ok(Date.now() < deadline, 'no prompt began');
    await delay(10);
  }
  const asked = Date.now();
  assert.equal(await first.end('SIGTERM'), 0);
  assert.ok(Date.now() - asked < 30_000);
  await using second = await GatewayProcess.start(scene.env);
  const task = await second.client.until(id);
  assert.equal(task.status, 'completed', task.error ?? '');
  assert.equal(task.retries, 0);
  assert.equal(scene.runs().length, runsBefore + 1);
  // Until then the source was kept: another attempt might have needed it.
  await second.end('SIGTERM');
  assert.deepEqual(await readdir(join(scene.dataDir, 'spool')), []);
}

describe('a gateway that is killed or stopped', { concurrency: 2 }, () => {
  // A new database is what takes time, so a few are used again.
  describe('on pglite', { concurrency: 2 }, () => {
    const scenes: CrashScene[] = [];
    before(async () => {
      const options = { engine: 'pglite', seconds: 1 } as const;
      scenes.push(await createCrashScene(options), await createCrashScene(options));
    });
    after(() => Promise.all(scenes.map((scene) => scene[Symbol.asyncDispose]())));

    async function withScene(test: (scene: CrashScene) => Promise<void>): Promise<void> {
      const scene = scenes.pop();
      assert.ok(scene);
      try {
        await test(scene);
      } finally {
        scenes.push(scene);
      }
    }

    // What differs from Postgres is that its successor takes over at once; the points are the same.
    const pointsHere = isReal
      ? points
      : points.filter(([milestone]) => milestone === 'prompt-running');
    for (const [milestone, words] of pointsHere) {
      it(`loses nothing and runs nothing twice: ${words}`, () =>
        withScene((scene) => losesNothing(scene, milestone)));
    }
    it('is asked to stop: does so at once, and leaves the prompt to the next one', () =>
      withScene(detaches));
  });

  // Its successor has to wait until the leases run out.
  describe('on postgres', { concurrency: scenesAtOnce }, () => {
    for (const [milestone, words] of points) {
      it(`loses nothing and runs nothing twice: ${words}`, async () => {
        await using scene = await createCrashScene({ engine: 'postgres' });
        await losesNothing(scene, milestone);
      });
    }
    it('is asked to stop: does so at once, and leaves the prompt to the next one', async () => {
      await using scene = await createCrashScene({ engine: 'postgres' });
      await detaches(scene);
    });
  });
});
