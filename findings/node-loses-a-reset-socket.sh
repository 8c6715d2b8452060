#!/usr/bin/env bash
# Node 24.21.0 (libuv 1.52.1): `resetAndDestroy()` on a socket whose end in order is under way loses the socket.
# libuv refuses the reset with EINVAL until the shutdown is done, and Node takes the handle for closed all the same.
# The other side never hears of it, no `close` is emitted, and a process that comes to its end without process.exit()
# waits in a loop, at full speed, for a handle that nobody closes. js-libp2p found it as well (pull request 3597).
# What the tests do instead: `reset` in test/support/tcp-proxy.ts.
#
# Seen with Node 24.21.0 and 20.20.2:
#   reset EINVAL
#   the process does not end
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
import { connect, createServer } from 'node:net'

const server = createServer(socket => socket.unref()).listen(0, '127.0.0.1')
await once(server, 'listening')
const socket = connect(server.address().port, '127.0.0.1')
await once(socket, 'connect')
socket.on('error', ({ message }) => console.log(message))
socket.end()
socket.resetAndDestroy()
server.close()
JS
./node_modules/.bin/node --version
if timeout --signal=KILL 5 ./node_modules/.bin/node finding.mjs; then
  echo 'This is another behaviour than the one that was seen.'
  exit 1
fi
echo 'the process does not end'
