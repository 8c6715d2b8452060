import { exec } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { request } from 'undici';
import type { EmulatedRun } from '../../test/support/emulator-process.ts';
import { benchGraph, benchPicture, type ComfyServers, pixelsOf } from '../support/comfy-servers.ts';
import { type Figure, quantile, type Scenario } from '../support/figures.ts';
import { completeAll, type Scene, setScene, smallPicture } from '../support/scene.ts';

type Run = EmulatedRun & { readonly server: number };

const warmUp = 6;

async function setWarmScene(
  servers: ComfyServers,
  seconds: number,
  picture?: Buffer,
): Promise<Scene> {
  const scene = await setScene({
    backends: servers.urls,
    workflows: { bench: benchGraph(seconds), nothing: benchGraph(0) },
    picture: picture ?? (await benchPicture()),
  });
  await completeAll(scene, Array(warmUp).fill('nothing'));
  // After a prompt ComfyUI collects its garbage, every ten seconds, and answers nobody meanwhile.
  await delay(1_500);
  return scene;
}

/** The gateway against prompts that were queued in ComfyUI beforehand. */
export function againstQueued(
  servers: ComfyServers,
  { tasks, seconds }: { readonly tasks: number; readonly seconds: number },
  judge: (gateway: Outcome, queued: Outcome) => Figure[],
): Scenario {
  return {
    title: `${tasks} tasks of ${seconds} s, 1.1 MB in and 0.23 MB out, ${servers.urls.length} servers`,

    async measure(): Promise<Figure[]> {
      await servers.runQueued(warmUp, 0);
      const direct = await servers.runQueued(tasks, seconds);
      const queued = outcomeOf(await runsOf(servers, direct.ids), direct.startedAt);
      await using scene = await setWarmScene(servers, seconds);
      const {
        ids,
        startedAt,
        seconds: stored,
      } = await completeAll(scene, Array(tasks).fill('bench'));
      const runs = await runsOf(servers, await scene.promptsOf(ids));
      const gateway = outcomeOf(runs, startedAt);
      return [
        { what: 'queued beforehand: from the first post to the last end', ...inSeconds(queued.ms) },
        { what: 'queued beforehand: gap, p50', is: queued.gapMs, unit: 'ms' },
        { what: 'queued beforehand: a run, p50', is: queued.runMs, unit: 'ms' },
        { what: 'gateway: from the first submit to the last end', ...inSeconds(gateway.ms) },
        {
          what: 'gateway: from the first submit to the first start',
          is: gateway.delayMs,
          unit: 'ms',
        },
        { what: 'gateway: gap, p50', is: gateway.gapMs, unit: 'ms' },
        { what: 'gateway: gap, p95', is: gateway.gap95Ms, unit: 'ms' },
        { what: 'gateway: a run, p50', is: gateway.runMs, unit: 'ms' },
        { what: 'gateway: until everything is stored', is: stored, unit: 's' },
        ...judge(gateway, queued),
      ];
    },
  };
}

/** From `POST /tasks` to the start of the prompt. */
export function oneAtATime(servers: ComfyServers): Scenario {
  const rounds = 40;
  return {
    title: `${rounds} tasks, one at a time: from POST /tasks to the start of the prompt`,

    async measure(): Promise<Figure[]> {
      const delaysOf = async (picture: Buffer) => {
        await using scene = await setWarmScene(servers, 0.01, picture);
        const sent: { at: number; id: string }[] = [];
        for (let i = 0; i < rounds; i += 1) {
          const at = performance.timeOrigin + performance.now();
          const { ids } = await completeAll(scene, ['bench']);
          sent.push({ at, id: ids[0] ?? '' });
        }
        const runs = await runsOf(servers, await scene.promptsOf(sent.map(({ id }) => id)));
        return runs.map(({ startedAt }, i) => startedAt - (sent[i]?.at ?? Number.NaN));
      };
      const small = await delaysOf(await smallPicture());
      const large = await delaysOf(await benchPicture());
      return [
        { what: 'a small picture, p50', is: quantile(small, 0.5), unit: 'ms', atMost: 10 },
        { what: 'a small picture, p95', is: quantile(small, 0.95), unit: 'ms' },
        { what: '1.1 MB, p50', is: quantile(large, 0.5), unit: 'ms' },
        { what: '1.1 MB, p95', is: quantile(large, 0.95), unit: 'ms' },
      ];
    },
  };
}

/** For two servers of which the second takes three times as long. */
export function oneSlow(servers: ComfyServers): Scenario {
  const tasks = 40;
  return {
    title: `${tasks} tasks of 1 s on two servers, one of them three times slower`,

    async measure(): Promise<Figure[]> {
      const slowdown = await servers.slowdownOf(1);
      if (Math.abs(slowdown - 3) > 0.5) {
        throw new Error(`The second server takes ${slowdown.toFixed(1)} times as long, not 3`);
      }
      await using scene = await setWarmScene(servers, 1);
      const { ids, startedAt } = await completeAll(scene, Array(tasks).fill('bench'));
      const runs = await runsOf(servers, await scene.promptsOf(ids));
      const ofSlow = runs.filter(({ server }) => server === 1).length;
      return [
        { what: 'tasks of the slow server', is: ofSlow },
        {
          what: 'from the first submit to the last end',
          ...inSeconds(outcomeOf(runs, startedAt).ms),
          atMost: 33.5,
        },
      ];
    },
  };
}

/** `kill` and `start` are shell commands for the second server. */
export function killed(
  servers: ComfyServers,
  commands: { readonly kill: string; readonly start: string },
): Scenario {
  const tasks = 40;
  return {
    title: `${tasks} tasks of 1 s; one of two servers is killed after 5 s and started after 10`,

    async measure(): Promise<Figure[]> {
      const expected = await servers.expectedPixels();
      await using scene = await setWarmScene(servers, 1);
      const run = promisify(exec);
      const [{ ids, seconds }] = await Promise.all([
        completeAll(scene, Array(tasks).fill('bench')),
        delay(5_000).then(() => run(commands.kill)),
        delay(10_000).then(() => run(commands.start)),
      ]);
      let right = 0;
      for (const id of ids) {
        const { output } = await scene.gateway.task(id);
        const { body } = await request(output?.url ?? '');
        const pixels = await pixelsOf(Buffer.from(await body.arrayBuffer()));
        if (pixels.equals(expected)) right += 1;
      }
      return [
        { what: 'results that are right', is: right, atLeast: tasks },
        { what: 'until everything is stored', is: seconds, unit: 's' },
      ];
    },
  };
}

/** What the servers tell of some prompts. */
export interface Outcome {
  readonly ms: number;
  readonly delayMs: number;
  readonly gapMs: number;
  readonly gap95Ms: number;
  readonly runMs: number;
}

function outcomeOf(runs: readonly Run[], from: number): Outcome {
  const gaps = [...Map.groupBy(runs, ({ server }) => server).values()].flatMap((ofServer) => {
    const sorted = ofServer.toSorted((a, b) => a.startedAt - b.startedAt);
    return sorted
      .slice(1)
      .map(({ startedAt }, i) => startedAt - (sorted[i]?.endedAt ?? Number.NaN));
  });
  return {
    ms: Math.max(...runs.map(endOf)) - from,
    delayMs: Math.min(...runs.map(({ startedAt }) => startedAt)) - from,
    gapMs: quantile(gaps, 0.5),
    gap95Ms: quantile(gaps, 0.95),
    runMs: quantile(
      runs.map((run) => endOf(run) - run.startedAt),
      0.5,
    ),
  };
}

function endOf({ endedAt }: Run): number {
  return endedAt ?? Number.NaN;
}

async function runsOf(servers: ComfyServers, promptIds: readonly string[]): Promise<Run[]> {
  const runs = await servers.runs();
  return promptIds.map((id) => {
    const run = runs.get(id);
    if (!run) throw new Error(`No server tells of prompt ${id}`);
    return run;
  });
}

function inSeconds(ms: number): Pick<Figure, 'is' | 'unit'> {
  return { is: ms / 1_000, unit: 's' };
}
