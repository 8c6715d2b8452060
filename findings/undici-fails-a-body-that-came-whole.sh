#!/usr/bin/env bash
# undici 8.12.4: a body with a Content-Length, of which every byte was read, fails with "other side closed" where its
# reader is behind and the server closes the connection after the last byte without `Connection: close`. The paused
# parser has not yet come to the end of the message when the connection ends. With that header undici finishes the
# message (pull request 5474); without it, it does not. node:http takes the same answer for whole.
# It hits slow readers alone: one that writes to a busy disk, or to a slower client.
# What TMLSR does: src/transport/whole-bodies.ts.
#
# Seen with undici 8.12.4, Node 24.21.0:
#   undici, connection: close - 20 of 20 whole
#   undici, nothing said - some fail, each with all bytes read: other side closed
#   node:http, nothing said - 20 of 20 whole
#
# Ends with 0 while that is so, and with 1 as soon as it is not.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > package.json <<'JSON'
{ "private": true, "allowScripts": { "node": true } }
JSON
npm install --loglevel=error --no-audit --no-fund node@24.21.0 undici@8.12.4

cat > finding.mjs <<'JS'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import { createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { Agent, request } from 'undici'

const bytes = 2_000_000
let said = ''
const server = createServer(socket => {
  socket.on('error', () => {}).once('data', () => {
    socket.write(`HTTP/1.1 200 OK\r\n${said}content-length: ${bytes}\r\n\r\n`)
    socket.end(Buffer.alloc(bytes))
  })
}).listen(0, '127.0.0.1')
await once(server, 'listening')
const url = `http://127.0.0.1:${server.address().port}/`

async function byUndici(agent) {
  const { body } = await request(url, { dispatcher: agent })
  return body
}

async function byNode() {
  const [answer] = await once(http.get(url, { agent: false }), 'response')
  return answer
}

async function tryOut(open) {
  let whole = 0
  const failures = []
  for (let i = 0; i < 20; i += 1) {
    const agent = new Agent()
    let read = 0
    try {
      for await (const chunk of await open(agent)) {
        read += chunk.length
        await delay(1)
      }
      if (read === bytes) whole += 1
    } catch ({ message }) {
      failures.push([read, message])
    }
    await agent.destroy()
  }
  return { whole, failures }
}

said = 'connection: close\r\n'
const announced = await tryOut(byUndici)
console.log(`undici, connection: close - ${announced.whole} of 20 whole`)
said = ''
const silent = await tryOut(byUndici)
console.log(`undici, nothing said - ${silent.whole} of 20 whole; ${silent.failures.join('; ')}`)
const node = await tryOut(byNode)
console.log(`node:http, nothing said - ${node.whole} of 20 whole`)
server.close()

assert.equal(announced.whole, 20)
assert.equal(node.whole, 20)
assert.ok(silent.failures.length > 0)
for (const failure of silent.failures) assert.deepEqual(failure, [bytes, 'other side closed'])
JS
./node_modules/.bin/node --version
if ! ./node_modules/.bin/node finding.mjs; then
  echo 'This is another behaviour than the one that was seen.'
  exit 1
fi
