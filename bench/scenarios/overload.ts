import { setTimeout as delay } from 'node:timers/promises';
import { sleepGraph } from '../../test/support/test-workflows.ts';
import { type Figure, quantile, type Scenario } from '../support/figures.ts';
import { type Scene, setScene, smallPicture, startEmulators } from '../support/scene.ts';

const backends = 2;
const seconds = 1;
const timesCapacity = 2;
const maxQueue = 20;
const connections = 4;
const minutes = 10;
const minuteMs = 60_000;

const perSecond = (timesCapacity * backends) / seconds;
const drainedWithinS = 10 + (maxQueue * seconds) / backends;

/** What was seen, and when, milliseconds since the load began. */
interface Seen {
  readonly atMs: number;
  readonly is: number;
}

/** Requests come at their moment, whether or not those before have their answer. */
export const overload: Scenario = {
  title: `${minutes} minutes at ${timesCapacity} times the capacity of ${backends} backends, MAX_QUEUE=${maxQueue}`,

  async measure(): Promise<Figure[]> {
    await using emulators = await startEmulators(Array(backends).fill(1));
    await using scene = await setScene({
      backends: emulators.urls,
      workflows: { second: sleepGraph(seconds) },
      picture: await smallPicture(),
      env: { MAX_QUEUE: String(maxQueue), DATABASE_POOL_SIZE: String(connections) },
    });
    const clients = new Clients(scene);
    const looks = new Looks(scene);
    for (let i = 0; i < minutes * 60 * perSecond; i += 1) {
      await delay(Math.max(0, clients.startedAt + (i * 1_000) / perSecond - performance.now()));
      clients.submit();
      if (i % perSecond === 0) looks.look();
    }
    await clients.answered();
    const endedAt = performance.now();
    while ((await scene.gateway.counts()).pending > 0) await delay(100);
    const drainedS = (performance.now() - endedAt) / 1_000;

    const { accepted, refused, others } = clients;
    const runs = (await emulators.runs()).flat().length;
    return [
      // Those that are written in the same moment do not see each other: as many as there are connections.
      { what: 'most that waited', is: Math.max(...looks.waiting), atMost: maxQueue + connections },
      { what: 'accepted', is: accepted.length },
      { what: 'refused with queue_full', is: refused.length },
      { what: 'answered with anything else', is: others, atMost: 0 },
      {
        what: 'share of what the GPUs can do',
        is: runs / (minutes * 60 * (perSecond / timesCapacity)),
      },
      flat('accepted, p50', 'ms', byMinute(accepted, 0.5), 0, 1.5),
      flat('accepted, p99', 'ms', byMinute(accepted, 0.99), 0, 1.5),
      flat('refused, p50', 'ms', byMinute(refused, 0.5), 0, 1.5),
      // Node takes its memory in the first minutes.
      flat('memory of the gateway, p50', 'MB', byMinute(looks.megabytes, 0.5), 3, 1.2),
      { what: 'the queue is empty after', is: drainedS, unit: 's', atMost: drainedWithinS },
    ];
  },
};

function byMinute(seen: readonly Seen[], share: number): number[] {
  return Array.from({ length: minutes }, (_, minute) => {
    const within = seen.filter(({ atMs }) => Math.floor(atMs / minuteMs) === minute);
    return quantile(
      within.map(({ is }) => is),
      share,
    );
  });
}

/** Each minute, and how much more the last one has than the first that counts. */
function flat(
  what: string,
  unit: string,
  each: readonly number[],
  from: number,
  atMost: number,
): Figure {
  const is = (each.at(-1) ?? Number.NaN) / (each[from] ?? Number.NaN);
  const told = each.map((value) => value.toFixed(0)).join(' ');
  return { what: `${what}, ${unit}: ${told}; ratio`, is, atMost };
}

class Clients {
  readonly startedAt = performance.now();
  readonly accepted: Seen[] = [];
  readonly refused: Seen[] = [];
  others = 0;
  readonly #scene: Scene;
  readonly #asked: Promise<void>[] = [];

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  submit(): void {
    this.#asked.push(this.#submit());
  }

  async answered(): Promise<void> {
    await Promise.all(this.#asked);
  }

  async #submit(): Promise<void> {
    const { gateway, url } = this.#scene;
    const askedAt = performance.now();
    const answer = await gateway
      .call('POST', '/tasks', { url, workflow: 'second' })
      .catch(() => null);
    const seen = { atMs: askedAt - this.startedAt, is: performance.now() - askedAt };
    if (answer?.status === 200) this.accepted.push(seen);
    else if (answer?.body?.code === 'queue_full') this.refused.push(seen);
    else this.others += 1;
  }
}

/** How many wait, and what the gateway has in memory. */
class Looks {
  readonly waiting: number[] = [];
  readonly megabytes: Seen[] = [];
  readonly #startedAt = performance.now();
  readonly #scene: Scene;

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  look(): void {
    void this.#look();
  }

  async #look(): Promise<void> {
    const atMs = performance.now() - this.#startedAt;
    const [{ pending }, bytes] = await Promise.all([
      this.#scene.gateway.counts(),
      this.#scene.residentBytes(),
    ]);
    this.waiting.push(pending);
    this.megabytes.push({ atMs, is: bytes / 2 ** 20 });
  }
}
