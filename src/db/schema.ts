import type { BackendReport, WantedState } from '../core/backend.ts';
import type { Scope } from '../core/caller.ts';
import { type Delivery, deliveryAsUsual } from '../core/delivery.ts';
import type { MediaInfo } from '../core/media.ts';
import type { OperatorEventBody, OperatorEventKind } from '../core/operator-event.ts';
import type { PauseKind } from '../core/pause.ts';
import type { ResultKind } from '../core/result-format.ts';
import type { RunState } from '../core/run.ts';
import type { SizeRequest } from '../core/size-plan.ts';
import type { SourceNote } from '../core/source-note.ts';
import type { StageName, StageState } from '../core/stage.ts';
import type { Source, TaskError, TaskOutput, TaskState } from '../core/task.ts';
import type { EventBody, EventKind } from '../core/task-event.ts';
import type { Warning } from '../core/warning.ts';
import type { Workflow } from '../core/workflow.ts';
import { jsonb, text } from './columns.ts';
import {
  bigint,
  boolean,
  check,
  date,
  index,
  integer,
  pgTable,
  primaryKey,
  type SQL,
  type SQLWrapper,
  sql,
  timestamp,
  uniqueIndex,
  uuid,
} from './drizzle.ts';

const instant = (name: string) => timestamp(name, { withTimezone: true, precision: 3 });

/**
 * The promise to a client: what it asked for, how that stands, and the results. What a GPU is given for it
 * is its run. Columns that an index names are left alone until the task ends, so that its moves write to
 * no index.
 */
export const tasks = pgTable(
  'tasks',
  {
    id: uuid('id').primaryKey(),
    /** The order of arrival. */
    seq: bigint('seq', { mode: 'number' }).generatedAlwaysAsIdentity(),
    dialect: text('dialect').notNull(),
    kind: text('kind').$type<ResultKind>().notNull(),
    sources: jsonb('sources').$type<readonly Source[]>().notNull(),
    workflow: text('workflow').notNull(),
    /** The version that it runs, whatever becomes of the file; empty for tasks from before versions. */
    workflowHash: text('workflow_hash').notNull().default(''),
    arguments: jsonb('arguments').$type<Readonly<Record<string, unknown>>>().notNull(),
    size: jsonb('size').$type<SizeRequest>().notNull(),
    delivery: jsonb('delivery').$type<Delivery>().notNull().default(deliveryAsUsual),
    params: jsonb('params').$type<Readonly<Record<string, unknown>>>().notNull(),
    priority: integer('priority').notNull(),
    tenant: text('tenant').notNull().default(''),
    queueTimeoutMs: bigint('queue_timeout_ms', { mode: 'number' }),
    runTimeoutMs: bigint('run_timeout_ms', { mode: 'number' }),
    /** The run whose results are the task's; tasks that make the same may share one. */
    runId: uuid('run_id'),
    state: text('state').$type<TaskState>().notNull().default('pending'),
    /** How many events it has had: the number of the last one. */
    events: integer('events').notNull().default(0),
    outputs: jsonb('outputs').$type<readonly TaskOutput[]>(),
    /** Of what it stored, bytes. */
    storedBytes: bigint('stored_bytes', { mode: 'number' }),
    /** Its results go then, however long others are kept. */
    keepUntil: instant('keep_until'),
    /** When its client had the results, as far as it let us know. */
    collectedAt: instant('collected_at'),
    /** When its results went from the object store. */
    removedAt: instant('removed_at'),
    error: jsonb('error').$type<TaskError>(),
    createdAt: instant('created_at').notNull().defaultNow(),
    updatedAt: instant('updated_at').notNull().defaultNow(),
    startedAt: instant('started_at'),
    finishedAt: instant('finished_at'),
  },
  (t) => [
    uniqueIndex('tasks_seq').on(t.seq),
    index('tasks_of_tenant').on(t.tenant, t.seq),
    // What a tenant has waiting and running. The end is set once, so that no other move writes to it.
    index('tasks_open').on(t.tenant, t.createdAt).where(sql`${t.finishedAt} is null`),
    // Outputs come with the completion. A predicate on the state would make every move write to it.
    index('tasks_stored')
      .on(t.finishedAt)
      .where(sql`${t.outputs} is not null and ${t.removedAt} is null`),
    // Of those that have nothing in the store: their records may go.
    index('tasks_bare')
      .on(t.finishedAt)
      .where(
        sql`${t.finishedAt} is not null and (${t.outputs} is null or ${t.removedAt} is not null)`,
      ),
    index('tasks_kept_until')
      .on(t.keepUntil)
      .where(sql`${t.keepUntil} is not null and ${t.removedAt} is null`),
    check('tasks_priority', sql`${t.priority} between 0 and 10`),
  ],
);

/**
 * What a GPU is given, and the queue. `owner` and `lease_until` are the claim; every write for an attempt
 * is fenced by `owner` and `attempt`.
 */
export const runs = pgTable(
  'runs',
  {
    id: uuid('id').primaryKey(),
    /** The order of arrival. */
    seq: bigint('seq', { mode: 'number' }).generatedAlwaysAsIdentity(),
    /** The tasks that wait for it; the first one's name is that of its results. */
    taskIds: uuid('task_ids').array().notNull(),
    /** 128 random bits in the addresses of its results; `null` for a run from before there were any. */
    secret: text('secret'),
    kind: text('kind').$type<ResultKind>().notNull(),
    workflow: text('workflow').notNull(),
    workflowHash: text('workflow_hash').notNull().default(''),
    sources: jsonb('sources').$type<readonly Source[]>().notNull(),
    arguments: jsonb('arguments').$type<Readonly<Record<string, unknown>>>().notNull(),
    size: jsonb('size').$type<SizeRequest>().notNull(),
    tenant: text('tenant').notNull().default(''),
    priority: integer('priority').notNull(),
    /** Its place in the order: its arrival, moved back by what its priority is worth. */
    rank: instant('rank').notNull(),
    queueTimeoutMs: bigint('queue_timeout_ms', { mode: 'number' }),
    /** It waits no longer than that; put off whenever it has to wait anew. */
    queueDeadline: instant('queue_deadline'),
    runTimeoutMs: bigint('run_timeout_ms', { mode: 'number' }),
    state: text('state').$type<RunState>().notNull().default('pending'),
    attempt: integer('attempt').notNull().default(0),
    retries: integer('retries').notNull().default(0),
    /** Backends where it failed: others go first. `null` for a run that has not failed. */
    avoid: text('avoid').array(),
    owner: uuid('owner'),
    leaseUntil: instant('lease_until'),
    /** Not before this instant; `null` as soon as the run may be claimed. */
    runAfter: instant('run_after'),
    /** Runs that have to be completed before it; each goes from here when it is. */
    needs: uuid('needs').array().notNull().default(sql`'{}'`),
    /** Whether it has links that nobody has begun to read; never for uploads and own objects alone. */
    isUnread: boolean('is_unread').notNull().default(false),
    /** Of everything that its outputs follow from; runs with the same one make the same. */
    fingerprint: text('fingerprint'),
    /** What its tasks' clients should know of its results; `null` for nothing. */
    warnings: jsonb('warnings').$type<readonly Warning[]>(),
    createdAt: instant('created_at').notNull().defaultNow(),
    /** When it last changed its state or its owner. */
    movedAt: instant('moved_at').notNull().defaultNow(),
  },
  (t) => [
    // Led by the line that a run stands in: the heads of all lines are found behind a million other
    // runs (0.5 ms where an index led by priority took 211 ms).
    index('runs_ready')
      .on(t.workflow, t.workflowHash, t.tenant, t.rank, t.seq)
      .where(sql`${isReady(t)} and ${t.avoid} is null`),
    // Of those whose links are to be read ahead, the heads of lines are found in the same way.
    index('runs_unread')
      .on(t.workflow, t.workflowHash, t.tenant, t.rank, t.seq)
      .where(sql`${isReady(t)} and ${t.isUnread}`),
    // Few, and not of equal use to every backend: no head stands for those behind it.
    index('runs_retried')
      .on(t.rank, t.seq)
      .where(sql`${isReady(t)} and ${t.avoid} is not null`),
    index('runs_waiting')
      .on(t.runAfter)
      .where(sql`${t.state} = 'pending' and ${t.runAfter} is not null`),
    index('runs_needing').using('gin', t.needs).where(sql`${t.needs} <> '{}'`),
    index('runs_expiring')
      .on(t.queueDeadline)
      .where(sql`${t.state} = 'pending' and ${t.queueDeadline} is not null`),
    index('runs_leased').on(t.leaseUntil).where(sql`${t.state} = 'processing'`),
    // Two that make the same are never open at once: the later one's task joins the other run.
    uniqueIndex('runs_leading')
      .on(t.fingerprint)
      .where(sql`${t.fingerprint} is not null and ${t.state} in ('pending', 'processing')`),
    index('runs_made')
      .on(t.fingerprint)
      .where(sql`${t.fingerprint} is not null and ${t.state} = 'completed'`),
    check(
      'runs_owned_while_processing',
      sql`(${t.state} = 'processing') = (${t.owner} is not null)`,
    ),
  ],
);

function isReady(t: Record<'state' | 'runAfter' | 'needs', SQLWrapper>): SQL {
  return sql`${t.state} = 'pending' and ${t.runAfter} is null and ${t.needs} = '{}'`;
}

/**
 * What happened to a task, numbered 1, 2, … within it. The number is taken under the lock of the task's row,
 * so that it tells the order in which the events were committed; an identity of all would not.
 */
export const taskEvents = pgTable(
  'task_events',
  {
    taskId: uuid('task_id')
      .notNull()
      .references(() => tasks.id, { onDelete: 'cascade' }),
    number: integer('number').notNull(),
    kind: text('kind').$type<EventKind>().notNull(),
    at: instant('at').notNull().defaultNow(),
    /** The gateway that made the move. */
    gateway: uuid('gateway'),
    body: jsonb('body').$type<EventBody>().notNull(),
  },
  (t) => [primaryKey({ columns: [t.taskId, t.number] }), index('task_events_at').on(t.at)],
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

/** Tries of runs, which go with those; `task_id` is the task that was the run's first at that time. */
export const attempts = pgTable(
  'attempts',
  {
    id: uuid('id').primaryKey(),
    taskId: uuid('task_id').notNull(),
    runId: uuid('run_id').references(() => runs.id, { onDelete: 'cascade' }),
    /** 1, 2, … within the run. */
    number: integer('number').notNull(),
    workflow: text('workflow').notNull(),
    backend: text('backend').notNull(),
    /** Written before the prompt is posted, so that a lost answer or a crash leaves a trace. */
    promptId: uuid('prompt_id'),
    postedAt: instant('posted_at'),
    /** How long the prompt had the GPU, milliseconds; set when it came to a good end. */
    gpuMs: integer('gpu_ms'),
    /** The same, however it ended; `gpu_ms` stands only where later runs are measured by it. */
    usedMs: integer('used_ms'),
    /** Of the files that went to the backend, bytes. */
    sourceBytes: bigint('source_bytes', { mode: 'number' }),
    /** What the main input turned out to be; kept for whoever adopts the prompt. */
    input: jsonb('input').$type<MediaInfo>(),
    error: jsonb('error').$type<TaskError>(),
    startedAt: instant('started_at').notNull().defaultNow(),
    /** Set once nothing of this attempt can be left on the backend. */
    finishedAt: instant('finished_at'),
  },
  (t) => [
    uniqueIndex('attempts_of_run').on(t.runId, t.number),
    index('attempts_durations').on(t.workflow, t.startedAt).where(sql`${t.gpuMs} is not null`),
    index('attempts_unfinished').on(t.startedAt).where(sql`${t.finishedAt} is null`),
  ],
);

/**
 * Files that clients send us, each an object `uploads/ID`. The record comes before the object and goes
 * after it, so that none is left behind.
 */
export const uploads = pgTable(
  'uploads',
  {
    id: uuid('id').primaryKey(),
    tenant: text('tenant').notNull(),
    /** Whoever has it may send the file; `null` where whoever has the id may. */
    secret: text('secret'),
    /** What the client calls the file. */
    name: text('name'),
    /** Bytes; `null` until they are here, and where they went straight to the store. */
    size: bigint('size', { mode: 'number' }),
    /** Until when its bytes may be sent; `null` for one that came with its task. */
    openUntil: instant('open_until'),
    createdAt: instant('created_at').notNull().defaultNow(),
  },
  // What a tenant has sent is added up.
  (t) => [index('uploads_of_tenant').on(t.tenant)],
);

/** Which tasks use which uploads: an upload goes when all of its tasks have ended. */
export const taskUploads = pgTable(
  'task_uploads',
  {
    taskId: uuid('task_id')
      .notNull()
      .references(() => tasks.id, { onDelete: 'cascade' }),
    uploadId: uuid('upload_id')
      .notNull()
      .references(() => uploads.id, { onDelete: 'cascade' }),
  },
  (t) => [
    primaryKey({ columns: [t.taskId, t.uploadId] }),
    index('task_uploads_of_upload').on(t.uploadId),
  ],
);

/**
 * Sources that were read from links, or are being read, for runs that have not ended: where another gateway
 * finds them. Most have no row: only those that are fetched ahead, or put into the object store. The record
 * comes before the object `object_key` and goes after it, so that none is left behind.
 */
export const heldSources = pgTable(
  'held_sources',
  {
    /** Not a reference: what is held outlives its run until somebody has removed it. */
    runId: uuid('run_id').notNull(),
    /** The workflow's input that it is for. */
    input: text('input').notNull(),
    /** Who fetches it, or has it on its disk; `null` for none. */
    gateway: uuid('gateway'),
    /** `null` until it is fetched and found good. */
    note: jsonb('note').$type<SourceNote>(),
    /** Where the object store has it, or is about to. */
    objectKey: text('object_key'),
    storedAt: instant('stored_at'),
    /** The link did not answer: its gateway lets it be until then. */
    restsUntil: instant('rests_until'),
  },
  (t) => [primaryKey({ columns: [t.runId, t.input] })],
);

/**
 * How many tasks are in each state, by workflow, kept by the moves: counting them would cost more with
 * every task. Split into shards, so that connections do not wait for each other.
 */
export const taskCounts = pgTable(
  'task_counts',
  {
    workflow: text('workflow').notNull(),
    state: text('state').$type<TaskState>().notNull(),
    shard: integer('shard').notNull(),
    count: bigint('count', { mode: 'number' }).notNull(),
  },
  (t) => [primaryKey({ columns: [t.workflow, t.state, t.shard] })],
);

const figure = (name: string) => bigint(name, { mode: 'number' }).notNull().default(0);

/**
 * What each tenant had of the gateway, by the day (UTC) on which it happened, kept by the moves. Led by the day:
 * one range of the key is a tenant's day, or all of a month.
 */
export const usage = pgTable(
  'usage',
  {
    day: date('day').notNull(),
    tenant: text('tenant').notNull(),
    workflow: text('workflow').notNull(),
    shard: integer('shard').notNull(),
    submitted: figure('submitted'),
    completed: figure('completed'),
    failed: figure('failed'),
    canceled: figure('canceled'),
    /** Of all attempts, whatever became of them. */
    gpuMs: figure('gpu_ms'),
    /** Of the files that went to backends. */
    sourceBytes: figure('source_bytes'),
    /** Of the results that came into the store, thumbnails aside. */
    storedBytes: figure('stored_bytes'),
  },
  (t) => [primaryKey({ columns: [t.day, t.tenant, t.workflow, t.shard] })],
);

/** What holds of a tenant at present, in shards as `task_counts` is. */
export const tenantTotals = pgTable(
  'tenant_totals',
  {
    tenant: text('tenant').notNull(),
    shard: integer('shard').notNull(),
    /** Of its results in the store, thumbnails aside. */
    storedBytes: figure('stored_bytes'),
    /** Its time on GPUs as shares count it (`core/schedule.ts`); only differences between tenants mean anything. */
    chargedMs: figure('charged_ms'),
  },
  (t) => [primaryKey({ columns: [t.tenant, t.shard] })],
);

/** What operators have paused: nothing new of it is begun. One whose end has come is as good as gone. */
export const pauses = pgTable(
  'pauses',
  {
    kind: text('kind').$type<PauseKind>().notNull(),
    /** Of the workflow or the tenant; empty for the pool. */
    name: text('name').notNull(),
    reason: text('reason'),
    since: instant('since').notNull().defaultNow(),
    until: instant('until'),
  },
  (t) => [primaryKey({ columns: [t.kind, t.name] })],
);

/**
 * How many tasks of a tenant have ended in each state, by workflow, kept and split as `task_counts` is. What has
 * not ended is counted when somebody asks. Tasks without a tenant are in `task_counts` alone.
 */
export const endedCounts = pgTable(
  'ended_counts',
  {
    tenant: text('tenant').notNull(),
    workflow: text('workflow').notNull(),
    state: text('state').$type<TaskState>().notNull(),
    shard: integer('shard').notNull(),
    count: bigint('count', { mode: 'number' }).notNull(),
  },
  (t) => [primaryKey({ columns: [t.tenant, t.workflow, t.state, t.shard] })],
);

/**
 * Every version of a workflow that a task may run: a file may change, or its gateway be gone, while its
 * tasks wait.
 */
export const workflowVersions = pgTable(
  'workflow_versions',
  {
    name: text('name').notNull(),
    hash: text('hash').notNull(),
    /** Of the files that it was read from: what gateways without a backend know it by. */
    sourceHash: text('source_hash').notNull(),
    definition: jsonb('definition').$type<Workflow>().notNull(),
    createdAt: instant('created_at').notNull().defaultNow(),
  },
  (t) => [
    primaryKey({ columns: [t.name, t.hash] }),
    index('workflow_versions_of_source').on(t.name, t.sourceHash, t.createdAt),
  ],
);

/** The gateways that work on this database, as long as they renew their lease. */
export const gateways = pgTable('gateways', {
  id: uuid('id').primaryKey(),
  startedAt: instant('started_at').notNull().defaultNow(),
  leaseUntil: instant('lease_until').notNull(),
});

/**
 * The ComfyUI servers that gateways know of. `owner`, `generation` and `lease_until` are the lease:
 * one gateway at a time drives a backend.
 */
export const backends = pgTable('backends', {
  /** Its address without credentials. */
  label: text('label').primaryKey(),
  /** With credentials, for one that was added at run time; others stand in the gateways' settings. */
  url: text('url'),
  /** Its `input` folder as this gateway sees it, where they share one. */
  inputDir: text('input_dir'),
  wanted: text('wanted').$type<WantedState>().notNull().default('active'),
  owner: uuid('owner'),
  generation: bigint('generation', { mode: 'number' }).notNull().default(0),
  leaseUntil: instant('lease_until'),
  /** What its gateway last said of it. */
  report: jsonb('report').$type<BackendReport>(),
  createdAt: instant('created_at').notNull().defaultNow(),
  /** When a gateway last had it among its backends; one that none has any more is forgotten. */
  knownAt: instant('known_at').notNull().defaultNow(),
});

/**
 * What operators did, to whatever they may change. The order of the numbers may differ from that of the commits by
 * the length of a statement: people read it from the end, and nobody follows it.
 */
export const operatorEvents = pgTable(
  'operator_events',
  {
    seq: bigint('seq', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
    at: instant('at').notNull().defaultNow(),
    /** The name of the API key; empty where no keys are asked for. */
    actor: text('actor').notNull(),
    /** The gateway that was asked for it. */
    gateway: uuid('gateway').notNull(),
    kind: text('kind').$type<OperatorEventKind>().notNull(),
    /** Without credentials, as the body is. */
    subject: text('subject').notNull(),
    body: jsonb('body').$type<OperatorEventBody>().notNull(),
  },
  (t) => [index('operator_events_at').on(t.at)],
);

/**
 * Keys of clients and operators, beside those of the settings. Of each its digest is kept, never the key. One that
 * was revoked stays: where there has been a key, keys are asked for.
 */
export const apiKeys = pgTable(
  'api_keys',
  {
    /** Also a part of the key. */
    id: text('id').primaryKey(),
    /** Whose tasks they are that come with it. */
    tenant: text('tenant').notNull(),
    name: text('name').notNull(),
    digest: text('digest').notNull(),
    /** That of before the last rotation, which goes on for a while. */
    formerDigest: text('former_digest'),
    formerUntil: instant('former_until'),
    scopes: jsonb('scopes').$type<readonly Scope[]>().notNull(),
    /** Grows with each change: the sum over all keys tells whether any has changed. */
    edition: integer('edition').notNull().default(1),
    createdAt: instant('created_at').notNull().defaultNow(),
    expiresAt: instant('expires_at'),
    revokedAt: instant('revoked_at'),
    lastUsedAt: instant('last_used_at'),
  },
  (t) => [uniqueIndex('api_keys_name').on(t.name).where(sql`${t.revokedAt} is null`)],
);
