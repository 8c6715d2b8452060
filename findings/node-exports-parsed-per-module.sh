#!/usr/bin/env bash
# Node 24.21.0: an import of ES modules parses the `exports` of their package anew for each module, so that it
# costs modules times size of package.json. drizzle-orm 0.45.4 has 179 KB of exports and some 150 modules behind
# `drizzle-orm/pg-core`. Its CommonJS build does not pay that, nor does Node 20.20.2. What the gateway makes of it:
# docs/decisions/022-drizzle-as-commonjs.md.
#
# Seen with Node 24.21.0 and drizzle-orm 0.45.4, processor time of the whole process (user and system):
#   import, package.json as published     319 ms
#   import, three exports kept             57 ms
#   require, package.json as published     56 ms
#
# Ends with 0 while the first takes at least twice as long as the others, and with 1 as soon as it does not.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > package.json <<'JSON'
{ "private": true, "allowScripts": { "node": true } }
JSON
npm install --loglevel=error --no-audit --no-fund node@24.21.0 drizzle-orm@0.45.4

cat > import.mjs <<'JS'
await import('drizzle-orm/pg-core')
const { user, system } = process.cpuUsage()
console.log(Math.round((user + system) / 1000))
JS
cat > require.cjs <<'JS'
require('drizzle-orm/pg-core')
const { user, system } = process.cpuUsage()
console.log(Math.round((user + system) / 1000))
JS

# The least of five runs is the least disturbed.
least() {
  for _ in 1 2 3 4 5; do ./node_modules/.bin/node "$1"; done | sort -n | head -n 1
}

published=$(least import.mjs)
required=$(least require.cjs)
./node_modules/.bin/node -e '
  const fs = require("node:fs")
  const path = "node_modules/drizzle-orm/package.json"
  const json = JSON.parse(fs.readFileSync(path, "utf8"))
  const kept = [".", "./pg-core", "./package.json"]
  json.exports = Object.fromEntries(kept.map((name) => [name, json.exports[name]]))
  fs.writeFileSync(path, JSON.stringify(json))
'
slim=$(least import.mjs)

echo "Node $(./node_modules/.bin/node --version)"
echo "import, package.json as published  $published ms"
echo "import, three exports kept         $slim ms"
echo "require, package.json as published $required ms"
if [ "$published" -ge $((2 * slim)) ] && [ "$published" -ge $((2 * required)) ]; then exit 0; fi
echo 'This is another behaviour than the one that was seen.'
exit 1
