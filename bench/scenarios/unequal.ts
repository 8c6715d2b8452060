import { sleepGraph } from '../../test/support/test-workflows.ts';
import { type Figure, quantile, type Scenario } from '../support/figures.ts';
import { perfectMs, workConservingMs } from '../support/list-scheduling.ts';
import { completeAll, setScene, smallPicture, startEmulators } from '../support/scene.ts';

const slowdowns = [1, 3];
const tasks = 40;

/** What is ideal follows from how long the tasks really took on each backend. */
export const unequal: Scenario = {
  title: `${tasks} tasks on two backends, 1 s and 3 s a task`,

  async measure(): Promise<Figure[]> {
    await using emulators = await startEmulators(slowdowns);
    await using scene = await setScene({
      backends: emulators.urls,
      workflows: { second: sleepGraph(1) },
      picture: await smallPicture(),
    });
    const { seconds, startedAt } = await completeAll(scene, Array(tasks).fill('second'));
    const runs = await emulators.runs();
    const taskMs = runs.map((each) =>
      quantile(
        each.map((run) => run.endedAt - run.startedAt),
        0.5,
      ),
    );
    const lastEnd = Math.max(...runs.map((each) => each.at(-1)?.endedAt ?? 0));
    const idealMs = workConservingMs(tasks, taskMs);
    return [
      ...runs.map((each, i) => ({ what: `tasks of backend ${i + 1}`, is: each.length })),
      { what: 'ideal, work conserving', is: idealMs / 1_000, unit: 's' },
      { what: 'perfect', is: perfectMs(tasks, taskMs) / 1_000, unit: 's' },
      {
        what: 'from the first submit to the last end',
        is: (lastEnd - startedAt) / 1_000,
        unit: 's',
      },
      { what: 'until everything is stored', is: seconds, unit: 's' },
      { what: 'whole time / ideal', is: (lastEnd - startedAt) / idealMs, atMost: 1.05 },
    ];
  },
};
