#!/usr/bin/env bash
# Node 24.21.0: `AbortSignal.timeout` throws for a delay that is no whole number, such as 5058.7: ERR_OUT_OF_RANGE,
# "It must be an integer". The standard (`[EnforceRange] unsigned long long`, DOM and Web IDL) takes the whole part,
# and `setTimeout` takes a fraction as well. A delay that was multiplied or measured (`performance.now()`) ends the
# request at the line that was to bound it. The gateway rounds such a delay (src/media/probe.ts).
#
# Seen with Node 24.21.0:
#   setTimeout(5.7):           fires
#   AbortSignal.timeout(5):    aborts
#   AbortSignal.timeout(5.7):  throws RangeError ERR_OUT_OF_RANGE
#
# Ends with 0 while that is so, and with 1 as soon as it is not.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > package.json <<'JSON'
{ "private": true, "allowScripts": { "node": true } }
JSON
npm install --loglevel=error --no-audit --no-fund node@24.21.0

cat > finding.mjs <<'JS'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'

console.log(`Node ${process.version}`)
await delay(5.7)
console.log('setTimeout(5.7):           fires')

const aborted = async ms => {
  const signal = AbortSignal.timeout(ms)
  // Its own timer does not keep the process.
  const awake = setTimeout(() => {}, 10_000)
  if (!signal.aborted) await once(signal, 'abort')
  clearTimeout(awake)
  return 'aborts'
}
const whole = await aborted(5)
console.log(`AbortSignal.timeout(5):    ${whole}`)
const fraction = await aborted(5.7).catch(error => `throws ${error.name} ${error.code}`)
console.log(`AbortSignal.timeout(5.7):  ${fraction}`)
process.exit(whole === 'aborts' && fraction === 'throws RangeError ERR_OUT_OF_RANGE' ? 0 : 1)
JS
./node_modules/.bin/node finding.mjs
