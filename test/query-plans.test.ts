import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import postgres from 'postgres';
import { noQuotas } from '../src/core/quota.ts';
import { loadPostgresJs } from '../src/db/drizzle.ts';
import * as schema from '../src/db/schema.ts';
import { AttemptNews } from '../src/tasks/attempt-news.ts';
import { EventStore } from '../src/tasks/event-store.ts';
import { HeldSourceStore } from '../src/tasks/held-source-store.ts';
import { QueueStats } from '../src/tasks/queue-stats.ts';
import { QuotaStore } from '../src/tasks/quota-store.ts';
import { RecordStore } from '../src/tasks/record-store.ts';
import { ResultStore } from '../src/tasks/result-store.ts';
import { UploadStore } from '../src/tasks/upload-store.ts';
import { UsageStore } from '../src/tasks/usage-store.ts';
import { writeHistory } from './support/history.ts';
import { failure, GatewayStores, newTask, output, owner } from './support/task-stores.ts';
import {
  connectTestDatabase,
  createTestDatabase,
  type TestDatabase,
  urlOf,
} from './support/test-database.ts';

/** Tables that grow with every task there ever was. */
const large = ['tasks', 'runs', 'attempts', 'task_stages', 'task_events'];

/** So many have ended, and so many are said to have. */
const past = 4_000;
const forged = 10_000_000;
/** A hundredth waits. An index of more than that holds the past. */
const waiting = 40;

/** After so many, Postgres may keep one plan for all values. */
const customPlans = 5;

interface Statement {
  readonly what: string;
  readonly text: string;
  readonly values: readonly unknown[];
}

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Index Cond'?: string;
  readonly Plans?: readonly PlanNode[];
}

describe('behind ten million ended tasks', () => {
  const parts = new AsyncDisposableStack();
  const statements: Statement[] = [];
  let client: postgres.Sql;

  before(async () => {
    const scratch: TestDatabase = parts.use(await createTestDatabase('postgres'));
    // Connecting brings the schema up to date.
    await using _database = await connectTestDatabase(scratch.options);
    await writeHistory(urlOf(scratch), past);
    client = postgres(urlOf(scratch), { max: 1, onnotice: () => {}, prepare: false });
    parts.defer(() => client.end());
    await recordAll(client, statements);
    await forge(client);
  });
  after(() => parts.disposeAsync());

  it('what a task and its watchers ask for goes by an index', async () => {
    const wrong = new Set<string>();
    const small = await smallIndexes(client);
    for (const { what, text, values } of statements) {
      for (const plan of await plansOf(client, text, values)) {
        for (const scan of longScans(plan, small)) wrong.add(`${what}: ${scan}\n${text}`);
      }
    }
    assert.deepEqual([...wrong].join('\n\n'), '');
  });

  it('a statement without an index is noticed', async () => {
    const small = await smallIndexes(client);
    const [plan] = await plansOf(client, 'select id from tasks where updated_at < $1', ['now']);
    assert.deepEqual(plan && longScans(plan, small), ['Seq Scan on tasks']);
  });
});

/** Carries a few tasks through their lives, and writes down what is asked of the database. */
async function recordAll(client: postgres.Sql, statements: Statement[]): Promise<void> {
  let what = '';
  const logQuery = (text: string, values: unknown[]) =>
    void statements.push({ what, text, values });
  const orm = loadPostgresJs().drizzle(client, { schema, logger: { logQuery } });
  const stores = new GatewayStores({ orm });
  const { tasks, claims, attempts, twins } = stores;
  const backend = 'http://backend';
  const tenant = 't1';
  const asked = newTask({ workflow: 'red', tenant, queueTimeoutMs: 60_000 });
  const begin = async () => {
    const { id } = await tasks.insert(asked);
    return await stores.claim(id, backend);
  };
  for (let i = 0; i < waiting; i += 1) await tasks.insert({ ...asked, tenant: `t${i % 5}` });
  await client`analyze`;
  statements.length = 0;
  const ask = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    what = name;
    return await work();
  };

  const room = { waiting: 1_000, queue: 1_000_000 };
  const added = await ask('submit', () => tasks.insert(asked, room));
  assert.ok(added);
  const [head] = await ask('heads', () => claims.heads());
  await ask('shares', () => claims.shares([tenant, 't2'], new Map([['red', 1_000]])));
  assert.ok(head);
  const claim = await ask('claim', () => claims.claim(head.id, backend, { ms: 1, seenMs: 0 }));
  assert.ok(claim);
  await ask('renew', () => claims.renew([claim.run.id]));
  await ask('twins', () => twins.seek(claim, 'abc'));
  const twin = await begin();
  await ask('join', () => twins.seek(twin, 'abc'));
  await ask('record', () => attempts.record(claim, promptNews()));
  await ask('sharers', () => attempts.sharers(claim));
  const all = await attempts.sharers(claim);
  await ask('complete', () =>
    attempts.complete(claim, new Map(all.map(({ id }) => [id, [output]]))),
  );
  const second = await begin();
  await ask('retry', () =>
    attempts.retry(second, failure, { afterMs: 0, avoid: [backend], counts: true }),
  );
  const third = await begin();
  await ask('failed attempts', () => attempts.failed(third));
  await ask('fail', () => attempts.fail(third, failure));
  await ask('close', () => attempts.close(third.attempt.id));
  await ask('what is discardable', () => attempts.isDiscardable(third));
  const fourth = await begin();
  await ask('hand back', () => attempts.handBack(fourth, false));
  await ask('cancel', () => tasks.cancel(fourth.task.id, owner));
  const fifth = await begin();
  await ask('hand over', () => attempts.handBack(fifth, true));
  await ask('adopt', () => claims.takeOver([backend]));
  await ask('requeue', () => claims.requeueAbandoned(60_000));
  await ask('wake', () => claims.wakeWaiting());
  await ask('expire', () => claims.expireQueued());
  await ask('leftovers', () => tasks.leftovers(60_000));

  const { id, runId } = added;
  await ask('a task', () => tasks.find(id, owner));
  await ask('tasks by the start of their ids', () => tasks.findByIdStart(id.slice(0, 8), owner));
  await ask('the newest', () => tasks.newest(50, { dialect: null, tenant: null }));
  await ask('the newest of a tenant', () => tasks.newest(50, owner));
  await ask('own tasks', () => tasks.ownAmong([id], tenant));
  await ask('whose', () => tasks.tenantOf(id));
  const stats = new QueueStats(orm);
  await ask('counts', () => stats.counts());
  await ask('counts of a tenant', () => stats.countsOf(tenant));
  await ask('durations', () => stats.durations());
  await ask('waiting since', () => stats.waitingSince());
  await ask('position', () => stats.ahead({ runId }));
  const usage = new UsageStore(orm);
  const month = { from: '2026-01-01', to: '2026-01-31', by: ['day', 'tenant'] } as const;
  await ask('usage', () => usage.rows({ ...month, tenant }));
  await ask('stored', () => usage.stored(null));
  const quotas = { ...noQuotas, waiting: 10, storedBytes: 1, uploadBytes: 1, gpuSeconds: 1 };
  await ask('quotas', () => new QuotaStore(orm).standing(tenant, quotas));

  const day = 24 * 3_600_000;
  const results = new ResultStore(
    { orm, patientOrm: orm },
    { retentionMs: 20 * day, maxBytes: null },
  );
  await ask('old results', () => results.expireOld());
  const due = await ask('results that are due', () => results.due(100, null));
  await ask('results that are due, next page', () => results.due(100, due.at(-1) ?? null));
  await ask('expired results', () => results.expired([claim.task.id]));
  await ask('removed results', () => results.recordRemoved([claim.task.id]));
  await ask('keep', () => results.keep(claim.task.id, owner, day));
  await ask('collect', () => results.collect(claim.task.id, owner, day));
  await ask('dismiss', () => results.dismiss(claim.task.id, owner));
  await ask('orphans', () => results.unused([{ key: 'a', taskId: id }]));
  const events = new EventStore(orm);
  await ask('events of a task', () => events.after(id, 0));
  await ask('events of tasks', () => events.find([[id, 1]]));
  await ask('recent events', () => events.recent(5_000));
  await ask('old events', () => events.removeOld(29 * day));
  await ask('old records', () => new RecordStore(orm).removeOld(3_650 * day));
  const sources = new HeldSourceStore(orm, randomUUID());
  const source = { runId: runId ?? '', input: 'image' };
  await ask('unread links', () => sources.unread(1_000));
  await ask('a link that is read', () => sources.reading(source.runId, ['image']));
  await ask('a held source', () => sources.find(source));
  await ask('whether it was read', () => sources.readingOf(source, true));
  await ask('sources of ended runs', () => sources.ended(null));
  await ask('links that are read again', () => sources.readingAgain(source.runId));
  await ask('open runs', () => sources.openRuns([source.runId]));
  await ask('sources of gateways that died', () => sources.leaveAbandoned());
  await ask('unneeded uploads', () => new UploadStore(orm).unneeded(day, null));
}

function promptNews(): AttemptNews {
  const told = new AttemptNews();
  told.begin('process');
  const promptId = randomUUID();
  told.prompt = { promptId, backend: 'http://backend', input: null, sourceBytes: 1 };
  return told;
}

/** Makes Postgres believe that there are as many rows as there will be: it multiplies what it has counted on a page. */
async function forge(client: postgres.Sql): Promise<void> {
  await client`vacuum analyze`;
  await client`
    update pg_class set reltuples = reltuples * ${forged / past}::float8
     where relname = any(${large}) and relkind = 'r'
        or oid in (select indexrelid from pg_index where indrelid::regclass::text = any(${large}))
           and reltuples > ${past / 10}`;
}

/** Those that hold what is open, however much has ended. */
async function smallIndexes(client: postgres.Sql): Promise<ReadonlySet<string>> {
  const rows = await client<{ name: string }[]>`
    select relname as name from pg_index join pg_class on oid = indexrelid
     where indrelid::regclass::text = any(${large}) and reltuples < ${past}`;
  return new Set(rows.map(({ name }) => name));
}

/** As the server plans it the first times, and what it keeps to after that. */
async function plansOf(
  client: postgres.Sql,
  text: string,
  values: readonly unknown[],
): Promise<PlanNode[]> {
  await client.unsafe(`prepare asked as ${text}`);
  const call = values.length > 0 ? `asked(${values.map(literal).join(', ')})` : 'asked';
  const plans: PlanNode[] = [];
  for (let i = 0; i <= customPlans; i += 1) {
    const [row] = await client.unsafe(`explain (format json) execute ${call}`);
    plans.push(row?.['QUERY PLAN'][0].Plan);
  }
  await client.unsafe('deallocate asked');
  return plans;
}

function literal(value: unknown): string {
  if (value === null) return 'null';
  const text = value instanceof Date ? value.toISOString() : String(value);
  return `'${text.replaceAll("'", "''")}'`;
}

/** Scans of a large table that read more of it than is open, or than was asked for. */
function longScans(node: PlanNode, small: ReadonlySet<string>, isLimited = false): string[] {
  const { 'Node Type': type, 'Relation Name': table, 'Index Name': index, Plans = [] } = node;
  const isOfAll = type === 'Seq Scan' && table !== undefined && large.includes(table);
  const isOfIndex =
    index !== undefined && node['Index Cond'] === undefined && !small.has(index) && !isLimited;
  const found = isOfAll ? [`${type} on ${table}`] : isOfIndex ? [`${type} of ${index}`] : [];
  const isBelowLimit = type === 'Limit' || (isLimited && type !== 'Sort' && type !== 'Aggregate');
  return [...found, ...Plans.flatMap((each) => longScans(each, small, isBelowLimit))];
}
