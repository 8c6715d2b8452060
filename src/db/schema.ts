import { sql } from 'drizzle-orm';
import {
  bigint,
  check,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';
import type { MediaInfo, MediaKind } from '../core/media.ts';
import type { SizeRequest } from '../core/size-plan.ts';
import type { StageName, StageState } from '../core/stage.ts';
import type { Source, TaskError, TaskOutput, TaskState } from '../core/task.ts';

const instant = (name: string) => timestamp(name, { withTimezone: true, precision: 3 });

/**
 * The record of what clients asked for, and the queue: one table, so that the two cannot disagree.
 * `owner` and `lease_until` are the claim; every write for an attempt is fenced by `owner` and
 * `attempt`.
 */
export const tasks = pgTable(
  'tasks',
  {
    id: uuid('id').primaryKey(),
    /** The order of arrival. */
    seq: bigint('seq', { mode: 'number' }).generatedAlwaysAsIdentity(),
    dialect: text('dialect').notNull(),
    kind: text('kind').$type<MediaKind>().notNull(),
    source: jsonb('source').$type<Source>().notNull(),
    workflow: text('workflow').notNull(),
    size: jsonb('size').$type<SizeRequest>().notNull(),
    params: jsonb('params').$type<Readonly<Record<string, unknown>>>().notNull(),
    priority: integer('priority').notNull().default(5),
    state: text('state').$type<TaskState>().notNull().default('pending'),
    attempt: integer('attempt').notNull().default(0),
    owner: uuid('owner'),
    leaseUntil: instant('lease_until'),
    /** Not before this instant; `null` as soon as the task may be claimed. */
    runAfter: instant('run_after'),
    output: jsonb('output').$type<TaskOutput>(),
    error: jsonb('error').$type<TaskError>(),
    createdAt: instant('created_at').notNull().defaultNow(),
    updatedAt: instant('updated_at').notNull().defaultNow(),
    startedAt: instant('started_at'),
    finishedAt: instant('finished_at'),
  },
  (t) => [
    uniqueIndex('tasks_seq').on(t.seq),
    // Led by workflow: a workflow that few tasks name is found behind a million others (0.5 ms
    // where an index led by priority took 211 ms).
    index('tasks_ready')
      .on(t.workflow, t.priority.desc().nullsFirst(), t.seq)
      .where(sql`${t.state} = 'pending' and ${t.runAfter} is null`),
    index('tasks_waiting')
      .on(t.runAfter)
      .where(sql`${t.state} = 'pending' and ${t.runAfter} is not null`),
    index('tasks_leased').on(t.leaseUntil).where(sql`${t.state} = 'processing'`),
    index('tasks_state').on(t.state),
    check(
      'tasks_owned_while_processing',
      sql`(${t.state} = 'processing') = (${t.owner} is not null)`,
    ),
    check('tasks_priority', sql`${t.priority} between 0 and 10`),
  ],
);

export const taskStages = pgTable(
  'task_stages',
  {
    taskId: uuid('task_id')
      .notNull()
      .references(() => tasks.id, { onDelete: 'cascade' }),
    name: text('name').$type<StageName>().notNull(),
    state: text('state').$type<StageState>().notNull().default('pending'),
    progress: integer('progress').notNull().default(0),
    detail: text('detail'),
    startedAt: instant('started_at'),
    finishedAt: instant('finished_at'),
  },
  (t) => [primaryKey({ columns: [t.taskId, t.name] })],
);

export const attempts = pgTable(
  'attempts',
  {
    id: uuid('id').primaryKey(),
    taskId: uuid('task_id')
      .notNull()
      .references(() => tasks.id, { onDelete: 'cascade' }),
    number: integer('number').notNull(),
    backend: text('backend').notNull(),
    /** Written before the prompt is posted, so that a lost answer or a crash leaves a trace. */
    promptId: uuid('prompt_id'),
    /** What the input turned out to be; kept for whoever adopts the prompt. */
    input: jsonb('input').$type<MediaInfo>(),
    /** sha256 of the workflow file that was run. */
    workflowHash: text('workflow_hash'),
    error: jsonb('error').$type<TaskError>(),
    startedAt: instant('started_at').notNull().defaultNow(),
    /** Set once nothing of this attempt can be left on the backend. */
    finishedAt: instant('finished_at'),
  },
  (t) => [
    uniqueIndex('attempts_of_task').on(t.taskId, t.number),
    index('attempts_unfinished').on(t.startedAt).where(sql`${t.finishedAt} is null`),
  ],
);
