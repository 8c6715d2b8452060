import { setTimeout as delay } from 'node:timers/promises';
import { GatewayClient } from '../support/gateway-client.ts';
import type { World } from './world.ts';

/** What a client may count on of a task that was answered with an id. */
export type Expected =
  /** It completes. */
  | 'completed'
  /** Its source leads where no gateway may go. */
  | 'refused'
  /** A cancel was answered with yes. */
  | 'canceled'
  /** A cancel was asked for, and nobody knows whether it came in time. */
  | 'completed or canceled';

/** Clients wait so long, because their connections may stand open and pass nothing on. */
const answerWithinMs = 5_000;
const lookEveryMs = 250;

/** Clients that submit tasks, and remember what they were answered. */
export class Recorder implements AsyncDisposable {
  /** By id. */
  readonly acknowledged = new Map<string, Expected>();
  /** Requests that got no answer: what they asked for may have been done, or not. */
  unanswered = 0;
  readonly #world: World;
  readonly #stop = new AbortController();
  readonly #clients: Promise<void>[];

  constructor(world: World, clients: number, pauseMs: number) {
    this.#world = world;
    this.#clients = Array.from({ length: clients }, (_, i) => this.#run(i, pauseMs));
  }

  async #run(client: number, pauseMs: number): Promise<void> {
    for (let i = client; !this.#stop.signal.aborted; i += 1) {
      if (i % 10 === 3) await this.#submit(this.#world.around.sources.forbidden, 'refused');
      else if (i % 7 === 5) await this.#submitAndCancel(pauseMs);
      else await this.#submit(this.#world.around.sources.good, 'completed');
      await delay(pauseMs);
    }
  }

  async #submit(url: string, expected: Expected): Promise<string | null> {
    const answer = await this.#ask((client) =>
      client.call('POST', '/tasks', { url, workflow: 'sleep' }),
    );
    if (answer?.status !== 200) return null;
    this.acknowledged.set(answer.body.task_id, expected);
    return answer.body.task_id;
  }

  async #submitAndCancel(pauseMs: number): Promise<void> {
    const id = await this.#submit(this.#world.around.sources.good, 'completed or canceled');
    if (id === null) return;
    await delay(pauseMs);
    const answer = await this.#ask((client) => client.call('DELETE', `/tasks/${id}`));
    if (answer?.status === 200) this.acknowledged.set(id, 'canceled');
  }

  async #ask<T>(question: (client: GatewayClient) => Promise<T>): Promise<T | null> {
    const address = this.#world.address;
    if (address === null) return null;
    try {
      return await question(new GatewayClient(address, null, answerWithinMs));
    } catch {
      this.unanswered += 1;
      return null;
    }
  }

  /** No more tasks from now on. */
  async end(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#clients);
  }

  /** Looks until no task is open, or none has ended for so long; what is left is told. */
  async untilNoneIsOpen(patienceMs: number): Promise<string[]> {
    let least = Number.POSITIVE_INFINITY;
    for (let deadline = Date.now() + patienceMs; Date.now() < deadline; await delay(lookEveryMs)) {
      const counts = await this.#ask((client) => client.counts());
      if (!counts) continue;
      const open = counts.pending + counts.processing;
      if (open === 0) return [];
      if (open < least) deadline = Date.now() + patienceMs;
      least = Math.min(least, open);
    }
    return [`${least} tasks have not ended`];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }
}
