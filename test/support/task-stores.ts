import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { Claim } from '../../src/core/attempt.ts';
import { deliveryAsUsual } from '../../src/core/delivery.ts';
import { sizeAsTheWorkflowGives } from '../../src/core/size-plan.ts';
import type { NewTask, TaskError, TaskOutput } from '../../src/core/task.ts';
import type { Database } from '../../src/db/connect.ts';
import { sql } from '../../src/db/drizzle.ts';
import { AttemptStore } from '../../src/tasks/attempt-store.ts';
import { ClaimStore } from '../../src/tasks/claim-store.ts';
import { Door, type Happening } from '../../src/tasks/door.ts';
import { TaskStore } from '../../src/tasks/task-store.ts';
import { TwinStore } from '../../src/tasks/twin-store.ts';

/** Everybody's tasks of the main dialect: as `newTask` makes them. */
export const owner = { dialect: 'tmlsr', tenant: null };
export const backend = 'http://127.0.0.1:8188';

export const output: TaskOutput = {
  name: 'result',
  key: 'a/b.png',
  size: 12,
  sha256: 'ab',
  contentType: 'image/png',
  input: null,
  output: null,
};

export const failure: TaskError = {
  code: 'execution_failed',
  message: 'LoadImage failed',
  stage: 'process',
  attempt: 1,
};

/** What a client asks for, as the stores take it. */
export function newTask(change: Partial<NewTask> = {}): NewTask {
  return {
    dialect: 'tmlsr',
    kind: 'image',
    sources: [{ input: 'image', url: 'https://example.com/a.png' }],
    workflow: 'esrgan_image_4x',
    workflowHash: 'f00',
    arguments: {},
    size: sizeAsTheWorkflowGives,
    delivery: deliveryAsUsual,
    params: {},
    ...change,
  };
}

/** The stores of one gateway. */
export class GatewayStores {
  readonly door: Door;
  readonly tasks: TaskStore;
  readonly claims: ClaimStore;
  readonly attempts: AttemptStore;
  readonly twins: TwinStore;
  /** What they have told since they were made. */
  readonly told: Happening[] = [];
  readonly #orm: Database['orm'];

  constructor(
    { orm }: Pick<Database, 'orm'>,
    leaseMs = 15_000,
    tell: (happenings: readonly Happening[]) => void = () => {},
  ) {
    this.#orm = orm;
    this.door = new Door(orm, randomUUID(), (happenings) => {
      this.told.push(...happenings);
      tell(happenings);
    });
    this.tasks = new TaskStore(this.door);
    this.claims = new ClaimStore(this.door, { leaseMs });
    this.attempts = new AttemptStore(this.door);
    this.twins = new TwinStore(this.door, this.attempts);
  }

  /** Claims the task's run for the backend. */
  async claim(taskId: string, backend: string): Promise<Claim> {
    const claim = await this.claims.claim(await this.runOf(taskId), backend);
    assert.ok(claim, 'its run cannot be claimed');
    return claim;
  }

  async runOf(taskId: string): Promise<string> {
    const task = await this.tasks.find(taskId, owner);
    assert.ok(task?.runId);
    return task.runId;
  }

  /** Ends the run well, with these outputs for its first task. */
  async complete(claim: Claim, outputs: readonly TaskOutput[]): Promise<void> {
    const completion = await this.attempts.complete(claim, new Map([[claim.task.id, outputs]]));
    assert.equal(completion.kind, 'completed');
  }

  /** As if the lease of the task's run had run out. */
  async expire(taskId: string): Promise<void> {
    await this.#orm.execute(sql`
      update runs set lease_until = now() - interval '1 s' where id = ${await this.runOf(taskId)}`);
  }
}
