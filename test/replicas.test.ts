import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createCrashScene } from './support/crash-scene.ts';
import { eventually } from './support/eventually.ts';
import { GatewayProcess } from './support/gateway-process.ts';
import { scenesAtOnce } from './support/patience.ts';
import { sleepGraph } from './support/test-workflows.ts';

/** What the gateway promises: 12 s until the leases run out, and a while to notice. */
const takenOverWithinMs = 20_000;
const longerThanALeaseMs = 14_000;

describe('replicas of the gateway over one database', { concurrency: scenesAtOnce }, () => {
  it('share the backends out evenly, and show and cancel what another one runs', async () => {
    await using scene = await createCrashScene({ engine: 'postgres', emulators: 3 });
    // Longer than any machine is busy; it looks twice a second whether it is interrupted.
    await scene.workflows.write('sleep', sleepGraph(300, 600));
    await using first = await GatewayProcess.start(scene.env);
    await using second = await GatewayProcess.start(scene.env);
    await eventually(async () => assert.deepEqual(await shares(first), [1, 2]));
    await using third = await GatewayProcess.start(scene.env);
    await eventually(async () => assert.deepEqual(await shares(second), [1, 1, 1]));
    // What a gateway claims while another still meets its server waits in front of its own.
    await eventually(async () => {
      const { body } = await second.client.call('GET', '/backends');
      assert.ok(body.backends.every(({ state }: { state: string }) => state === 'idle'));
    });

    const ids = [];
    for (let i = 0; i < 3; i += 1) ids.push(await first.client.submit(scene.task));
    await eventually(() => assert.equal(scene.runs().length, 3));
    // At most one of the three may be run by the gateway that is asked.
    for (const id of ids) {
      await third.client.until(id, ({ stages }) => (stages[1]?.progress ?? 0) > 0);
      assert.equal((await second.client.call('DELETE', `/tasks/${id}`)).status, 200);
      assert.equal((await third.client.task(id)).status, 'canceled');
    }
    await eventually(() =>
      assert.deepEqual(
        scene.runs().map(({ status }) => status),
        ['interrupted', 'interrupted', 'interrupted'],
      ),
    );
  });

  it('take over what a killed one ran, within 20 seconds', async () => {
    await using scene = await createCrashScene({ engine: 'postgres', emulators: 3, seconds: 5 });
    await using doomed = await GatewayProcess.start(scene.env);
    await using heir = await GatewayProcess.start(scene.env);
    await eventually(async () => assert.deepEqual(await shares(heir), [1, 2]));
    const ids = [];
    for (let i = 0; i < 6; i += 1) ids.push(await heir.client.submit(scene.task));
    await eventually(() => assert.equal(scene.runs().length, 3));

    const ran = driven(doomed);
    const killedAt = Date.now();
    await doomed.end('SIGKILL');
    await eventually(async () => {
      assert.deepEqual(await shares(heir), [3]);
      assert.ok(tasksIn(heir, 'attempt.adopted').length >= ran);
    });
    assert.ok(Date.now() - killedAt < takenOverWithinMs, `${Date.now() - killedAt} ms`);

    for (const id of ids) {
      const task = await heir.client.until(id);
      assert.equal(task.status, 'completed', task.error ?? '');
      assert.equal(task.retries, 0);
    }
    assert.equal(scene.runs().length, ids.length, 'a prompt ran twice');
  });

  it('leave alone what was taken over from them while they slept', async () => {
    await using scene = await createCrashScene({ engine: 'postgres', emulators: 2, seconds: 25 });
    await scene.workflows.write('nap', sleepGraph(0.5));
    await using sleeper = await GatewayProcess.start(scene.env);
    await using heir = await GatewayProcess.start(scene.env);
    await eventually(async () => assert.deepEqual(await shares(heir), [1, 1]));
    const long = [await heir.client.submit(scene.task), await heir.client.submit(scene.task)];
    await eventually(() => assert.equal(scene.runs().length, 2));
    // They are made ready in front of the two backends.
    const nap = { ...scene.task, workflow: 'nap' };
    const short = [await heir.client.submit(nap), await heir.client.submit(nap)];
    for (const id of short) {
      await heir.client.until(id, ({ stages }) => stages[0]?.status === 'success');
    }

    const begun = await eventually(() => {
      const held = heldBy(sleeper);
      assert.equal(held.length, 2);
      return held;
    });
    const startedBefore = tasksIn(sleeper, 'attempt.started').length;
    sleeper.freeze();
    await Promise.all([
      delay(longerThanALeaseMs),
      eventually(() => assert.deepEqual(tasksIn(heir, 'attempt.adopted'), begun)),
    ]);
    sleeper.thaw();
    await eventually(() => assert.deepEqual(tasksIn(sleeper, 'claim.lost'), begun));

    for (const id of [...long, ...short]) {
      const task = await heir.client.until(id);
      assert.equal(task.status, 'completed', task.error ?? '');
      assert.equal(task.retries, 0);
    }
    assert.deepEqual(
      scene.runs().map(({ status }) => status),
      ['success', 'success', 'success', 'success'],
    );
    // What it had begun it did not end; it may have begun one anew that was never posted.
    const anew = tasksIn(sleeper, 'attempt.started').length - startedBefore;
    assert.equal(tasksIn(sleeper, 'task.completed').length, anew);
    await eventually(async () => assert.deepEqual(await shares(heir), [1, 1]));
  });
});

/** How many backends each gateway drives, without those that none drives. */
async function shares({ client }: GatewayProcess): Promise<number[]> {
  const counts = new Map<string, number>();
  for (const gateway of (await client.drivers()).values()) {
    if (gateway) counts.set(gateway, (counts.get(gateway) ?? 0) + 1);
  }
  return [...counts.values()].sort();
}

/** How many backends it drives, by its own account. */
function driven({ log }: GatewayProcess): number {
  const count = (event: string) => log.filter(({ msg }) => msg === event).length;
  return count('lease.taken') - count('lease.given-up');
}

/** The tasks that it works on, by its own account. */
function heldBy({ log }: GatewayProcess): unknown[] {
  const held = new Set<unknown>();
  for (const { msg, task } of log) {
    if (msg === 'attempt.started') held.add(task);
    if (msg === 'attempt.undone' || msg === 'task.completed') held.delete(task);
  }
  return [...held].sort();
}

/** The tasks of which it logged the event. */
function tasksIn({ log }: GatewayProcess, event: string): unknown[] {
  return log
    .filter(({ msg }) => msg === event)
    .map(({ task }) => task)
    .sort();
}
