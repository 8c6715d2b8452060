#!/usr/bin/env bash
# ajv 8.20.0: a schema that was removed (`removeSchema`) stays in memory with its compiled function. Every
# `compile` puts both into `ajv.scope`, and nothing takes them out again. Who compiles schemas that come from
# outside, and removes them, grows for as long as it runs; an instance for each schema goes with it. Here,
# each workflow's parameters have one (src/workflows/schema-compiler.ts).
#
# Seen with ajv 8.20.0 and Node 24.21.0, 2,000 schemas that differ in one number:
#   one instance, each removed:  about 9 MB are kept
#   an instance each:            nothing is kept
#
# Ends with 0 while that is so, and with 1 as soon as it is not.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "type": "module", "private": true }' > package.json
npm install --loglevel=error --no-audit --no-fund ajv@8.20.0

cat > finding.js <<'JS'
import { Ajv2020 } from 'ajv/dist/2020.js'

const schemaOf = maximum => ({ type: 'object', properties: { steps: { type: 'integer', maximum } } })
const heap = () => {
  for (let i = 0; i < 3; i += 1) globalThis.gc()
  return process.memoryUsage().heapUsed
}

function keptBy(use) {
  for (let i = 0; i < 200; i += 1) use(schemaOf(i))
  const before = heap()
  for (let i = 0; i < 2_000; i += 1) use(schemaOf(1_000 + i))
  return (heap() - before) / 1e6
}

const shared = new Ajv2020()
const removed = keptBy(schema => {
  shared.compile(schema)({ steps: 1 })
  shared.removeSchema(schema)
})
const apart = keptBy(schema => new Ajv2020().compile(schema)({ steps: 1 }))

console.log(`one instance, each removed: ${removed.toFixed(1)} MB are kept`)
console.log(`an instance each:           ${apart.toFixed(1)} MB are kept`)
process.exit(removed > 5 && apart < 1 ? 0 : 1)
JS
node --expose-gc finding.js
