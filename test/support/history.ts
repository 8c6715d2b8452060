import postgres from 'postgres';

/** Of whom the history tells. */
export const historyTenants = Array.from({ length: 50 }, (_, i) => `t${i}`);
export const historyWorkflows = ['red', 'green', 'blue'];

const days = 30;
const atOnce = 50_000;

/**
 * So many tasks that have ended in the last 30 days, nine of ten of them well, with all that is kept of them; results
 * that are older than 15 days are gone. Then vacuumed, as it is in the end.
 */
export async function writeHistory(url: string, count: number, shards = 1): Promise<void> {
  const client = postgres(url, { max: 1, onnotice: () => {} });
  // What it writes refers to itself: neither triggers nor references have to be looked at.
  await client`set session_replication_role = replica`;
  for (let first = 0; first < count; first += atOnce) {
    await client.unsafe(historyOf(first, Math.min(count, first + atOnce), count));
  }
  await client.unsafe(`
    insert into task_counts (workflow, state, shard, count)
    select workflow, state, 0, count(*) from tasks group by workflow, state;
    insert into ended_counts (tenant, workflow, state, shard, count)
    select tenant, workflow, state, 0, count(*) from tasks group by tenant, workflow, state;
    insert into tenant_totals (tenant, shard, stored_bytes)
    select tenant, 0, sum(stored_bytes) from tasks where removed_at is null group by tenant;
    insert into usage (day, tenant, workflow, shard, completed, gpu_ms)
    select current_date - day, tenant, workflow, shard, 1, 1000
      from generate_series(0, ${days}) as day, unnest(array[${quoted(historyTenants)}]) as tenant,
           unnest(array[${quoted(historyWorkflows)}]) as workflow, generate_series(0, ${shards - 1}) as shard`);
  await client.unsafe('vacuum analyze');
  // Or it comes while the clock runs, as the filling's and no one else's.
  await client.unsafe('checkpoint');
  await client.end();
}

function historyOf(first: number, end: number, count: number): string {
  const at = `now() - interval '${days} days' * (${count} - i) / ${count} - interval '1 minute'`;
  const result =
    '[{"name": "result", "key": "a/b.png", "size": 1000, "sha256": "ab", "contentType": "image/png"}]';
  const work = `'[{"input": "image", "url": "http://a/b.png"}]'::jsonb as sources, '{}'::jsonb as arguments`;
  return `
    with past as materialized (
      select gen_random_uuid() as id, gen_random_uuid() as run_id, ${at} as at, ${work},
             (array[${quoted(historyWorkflows)}])[1 + i % ${historyWorkflows.length}] as workflow,
             (array[${quoted(historyTenants)}])[1 + i / 3 % ${historyTenants.length}] as tenant,
             case when i % 10 > 0 then 'completed' when i % 20 > 0 then 'failed' else 'canceled' end as state
        from generate_series(${first}, ${end - 1}) as i order by i),
    planned as (
      insert into runs (
        id, task_ids, kind, workflow, sources, arguments, size, tenant, priority, rank, state, attempt, created_at,
        fingerprint)
      select run_id, array[id], 'image', workflow, sources, arguments, '{}', tenant, 5, at, state, 1, at,
             case when state = 'completed' then md5(id::text) end
        from past),
    taken as (
      insert into tasks (
        id, run_id, dialect, kind, sources, workflow, arguments, size, params, tenant, priority, state, events,
        created_at, updated_at, started_at, finished_at, outputs, stored_bytes, removed_at)
      select id, run_id, 'tmlsr', 'image', sources, workflow, arguments, '{}', '{}', tenant, 5, state, 4,
             at, at, at, at, case when state = 'completed' then '${result}'::jsonb end,
             case when state = 'completed' then 1000 end,
             case when state = 'completed' and at < now() - interval '15 days' then now() end
        from past),
    tried as (
      insert into attempts (
        id, task_id, run_id, number, workflow, backend, prompt_id, gpu_ms, used_ms, started_at, finished_at)
      select gen_random_uuid(), id, run_id, 1, workflow, 'http://backend', gen_random_uuid(), 1000, 1000, at, at
        from past),
    staged as (
      insert into task_stages (task_id, name, state, progress, detail, started_at, finished_at)
      select id, name, 'success', 100, '1.1MB / 1.1MB', at, at
        from past, unnest(array['download', 'process', 'upload']) as name)
    insert into task_events (task_id, number, kind, at, body)
    select id, number, (array['submitted', 'begun', 'begun', state])[number], at, '{"attempt": 1}'
      from past, generate_series(1, 4) as number`;
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `'${name}'`).join(', ');
}
