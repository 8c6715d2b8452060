import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { request } from 'undici';
import type { TaskState } from '../../src/core/task.ts';
import { patienceMs } from './patience.ts';

export interface OutputBody {
  readonly url: string;
  readonly thumbnail_url: string | null;
  readonly size_mb: number;
  // biome-ignore lint/suspicious/noExplicitAny: read by tests as JSON is.
  readonly metadata: any;
}

export interface TaskBody {
  readonly task_id: string;
  readonly status: string;
  readonly params: Record<string, unknown>;
  readonly stages: {
    readonly name: string;
    readonly status: string;
    readonly progress: number;
    readonly duration: number | null;
    readonly detail: string | null;
  }[];
  readonly workflow_hash: string | null;
  readonly inputs: Record<string, unknown>;
  readonly output: OutputBody | null;
  readonly outputs: (OutputBody & { readonly name: string })[];
  readonly text: string | null;
  readonly warnings: { readonly code: string; readonly message: string }[];
  readonly cached: boolean;
  readonly queue: {
    readonly position: number;
    readonly expected_start: string | null;
    readonly paused: {
      readonly kind: string;
      readonly name: string;
      readonly reason: string | null;
      readonly since: string;
      readonly until: string | null;
    } | null;
  } | null;
  readonly retry_at: string | null;
  readonly error: string | null;
  readonly error_code: string | null;
  readonly retries: number;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  // biome-ignore lint/suspicious/noExplicitAny: read by tests as JSON is.
  readonly body: any;
}

/** Speaks to a gateway over HTTP, as its clients do. */
export class GatewayClient {
  readonly url: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #answerWithinMs: number;

  /** With an API key where the gateway asks for one. */
  constructor(url: string, key: string | null = null, answerWithinMs = patienceMs) {
    this.url = url;
    this.#answerWithinMs = answerWithinMs;
    this.#headers = {
      'content-type': 'application/json',
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
    };
  }

  async call(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    body?: unknown,
  ): Promise<Answer> {
    const response = await request(`${this.url}${path}`, {
      method,
      signal: AbortSignal.timeout(this.#answerWithinMs),
      headers: this.#headers,
      // What is a string already need not be JSON.
      ...(body === undefined
        ? {}
        : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.body.text();
    const { statusCode: status, headers } = response;
    return { status, headers, body: text === '' ? null : JSON.parse(text) };
  }

  /** Submits a task that must be taken on, and returns its id. */
  async submit(task: object): Promise<string> {
    const { status, body } = await this.call('POST', '/tasks', task);
    assert.equal(status, 200, JSON.stringify(body));
    assert.match(body.task_id, /^[0-9a-f]{32}$/);
    return body.task_id;
  }

  async task(id: string): Promise<TaskBody> {
    const { status, body } = await this.call('GET', `/tasks/${id}`);
    assert.equal(status, 200, JSON.stringify(body));
    return body;
  }

  /** Waits until the task is as wanted; until it has ended where nothing else is wanted. */
  async until(
    id: string,
    isWanted: (task: TaskBody) => boolean = hasEnded,
    timeoutMs = patienceMs,
  ): Promise<TaskBody> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const task = await this.task(id);
      if (isWanted(task)) return task;
      if (Date.now() > deadline || hasEnded(task)) {
        assert.fail(`The task is not as wanted: ${JSON.stringify(task)}`);
      }
      await delay(25);
    }
  }

  /** Which gateway drives which backend, by the backend's address. */
  async drivers(): Promise<Map<string, string | null>> {
    const { body } = await this.call('GET', '/backends');
    const backends = body.backends as { address: string; gateway: string | null }[];
    return new Map(backends.map(({ address, gateway }) => [address, gateway]));
  }

  /** How many tasks are in each state, as of the last second. */
  async counts(): Promise<Record<TaskState, number>> {
    return (await this.call('GET', '/monitor/stats')).body.stats;
  }

  /** The fifty newest tasks of all gateways. */
  async newest(): Promise<TaskBody[]> {
    return (await this.call('GET', '/monitor/stats')).body.tasks;
  }
}

export function hasEnded({ status }: Pick<TaskBody, 'status'>): boolean {
  return status === 'completed' || status === 'failed' || status === 'canceled';
}
