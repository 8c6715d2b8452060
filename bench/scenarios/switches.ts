import { sleepGraph } from '../../test/support/test-workflows.ts';
import type { Figure, Scenario } from '../support/figures.ts';
import {
  completeAll,
  type EndedRun,
  setScene,
  smallPicture,
  startEmulators,
} from '../support/scene.ts';

const backends = 4;
const tasks = 80;
const patienceSeconds = 30;

/** The same order of arrival twice: with and without a preference for loaded models. */
export const switches: Scenario = {
  title: `${tasks} tasks of two workflows, mixed, on ${backends} backends; 1 s a task, 2 s a load`,

  async measure(): Promise<Figure[]> {
    const order = mixed(tasks);
    const inOrder = await run(order, 0);
    const warm = await run(order, patienceSeconds);
    const laterSeconds = warm.startedAt.map(
      (at, i) => (at - (inOrder.startedAt[i] ?? Number.NaN)) / 1_000,
    );
    return [
      { what: 'loads in order of arrival', is: inOrder.loads },
      { what: 'loads with the preference', is: warm.loads },
      { what: 'loads, of those in order of arrival', is: warm.loads / inOrder.loads, atMost: 0.25 },
      { what: 'whole time in order of arrival', is: inOrder.seconds, unit: 's' },
      { what: 'whole time with the preference', is: warm.seconds, unit: 's' },
      {
        what: 'a task begins later for it, at most',
        is: Math.max(0, ...laterSeconds),
        unit: 's',
        atMost: patienceSeconds,
      },
      {
        what: 'a line stands still, at most',
        is: warm.standstillSeconds,
        unit: 's',
        atMost: patienceSeconds + 1 + 2,
      },
    ];
  },
};

interface Outcome {
  readonly loads: number;
  readonly seconds: number;
  /** By task, from the first submit on, milliseconds. */
  readonly startedAt: readonly number[];
  readonly standstillSeconds: number;
}

async function run(order: readonly string[], patience: number): Promise<Outcome> {
  await using emulators = await startEmulators(Array(backends).fill(1));
  await using scene = await setScene({
    backends: emulators.urls,
    workflows: { red: loadingGraph('red'), blue: loadingGraph('blue') },
    picture: await smallPicture(),
    env: { WARM_PATIENCE: String(patience) },
  });
  const { ids, startedAt, seconds } = await completeAll(scene, order);
  const runs = (await emulators.runs()).flat();
  return {
    loads: runs.filter(({ loadedModel }) => loadedModel).length,
    seconds,
    startedAt: (await scene.promptsOf(ids)).map(
      (promptId) => (runs.find((each) => each.promptId === promptId)?.startedAt ?? 0) - startedAt,
    ),
    standstillSeconds: Math.max(...['red', 'blue'].map((model) => standstill(runs, model))) / 1_000,
  };
}

function standstill(runs: readonly EndedRun[], model: string): number {
  const starts = runs
    .filter((each) => each.model === model)
    .map(({ startedAt }) => startedAt)
    .sort((a, b) => a - b);
  return Math.max(0, ...starts.slice(1).map((at, i) => at - (starts[i] ?? at)));
}

function loadingGraph(model: string): Record<string, unknown> {
  const graph = structuredClone(sleepGraph(1)) as Record<string, { inputs: object }>;
  Object.assign(graph['2']?.inputs ?? {}, { model, load_seconds: 2 });
  return graph;
}

/** Half of each, in an order that is the same every time. */
function mixed(count: number): string[] {
  let state = 5;
  const next = () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state;
  };
  return Array.from({ length: count }, (_, i) => ({ name: i % 2 ? 'red' : 'blue', at: next() }))
    .sort((a, b) => a.at - b.at)
    .map(({ name }) => name);
}
