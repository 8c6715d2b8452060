import { sleepGraph } from '../../test/support/test-workflows.ts';
import { type Figure, quantile, type Scenario } from '../support/figures.ts';
import { completeAll, largePicture, setScene, startEmulators } from '../support/scene.ts';

const backends = 4;
const tasks = 100;
const seconds = 1;

/**
 * The share is the time in which a prompt runs, between a backend's first start and the start of the
 * last prompt anywhere: from then on there is nothing left to begin. The gap is from one prompt's end
 * to the next one's start.
 */
export const busy: Scenario = {
  title: `${tasks} tasks of ${seconds} s with inputs of 1 MB, ${backends} backends`,

  async measure(): Promise<Figure[]> {
    await using emulators = await startEmulators(Array(backends).fill(1));
    await using scene = await setScene({
      backends: emulators.urls,
      workflows: { second: sleepGraph(seconds) },
      picture: await largePicture(),
    });
    const done = await completeAll(scene, Array(tasks).fill('second'));
    const runs = await emulators.runs();
    const lastStart = Math.max(...runs.map((each) => each.at(-1)?.startedAt ?? 0));
    const shares = runs.map((each) => {
      const from = each[0]?.startedAt ?? 0;
      const busyMs = each
        .map(({ startedAt, endedAt }) => Math.min(endedAt, lastStart) - startedAt)
        .reduce((sum, ms) => sum + ms, 0);
      return (100 * busyMs) / (lastStart - from);
    });
    const gaps = runs.flatMap((each) =>
      each.slice(1).map(({ startedAt }, i) => startedAt - (each[i]?.endedAt ?? Number.NaN)),
    );
    const idealSeconds = (tasks / backends) * seconds;
    return [
      { what: 'busy share of the least busy GPU', is: Math.min(...shares), unit: '%', atLeast: 98 },
      { what: 'gap between prompts, p50', is: quantile(gaps, 0.5), unit: 'ms', atMost: 5 },
      { what: 'gap between prompts, p95', is: quantile(gaps, 0.95), unit: 'ms' },
      { what: 'gap between prompts, most', is: Math.max(...gaps), unit: 'ms' },
      { what: 'whole time', is: done.seconds, unit: 's' },
      { what: 'whole time, of the time that the GPUs alone need', is: done.seconds / idealSeconds },
    ];
  },
};
