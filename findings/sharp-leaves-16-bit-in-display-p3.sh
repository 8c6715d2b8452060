#!/usr/bin/env bash
# sharp 0.35.5 (libvips 8.18.7): a picture with 16 bits a channel and a colour profile comes out with the numbers of
# Display P3, also where sRGB is asked for and no profile goes with it. One with 8 bits comes out in sRGB. sharp works
# on 16-bit RGB in Display P3, and only what leaves with a profile is told so: the
# pure red of a phone, (234, 51, 35) in Display P3, stays (234, 51, 35) and looks pale. The gateway makes such a picture
# 8 bit before its colours (src/media/picture/pixels.ts).
#
# Seen with sharp 0.35.5 on Node 24.21.0, the same colour and the same profile:
#   8 bit to sRGB:   255, 0, 3
#   16 bit to sRGB:  234, 51, 35
#
# Ends with 0 while that is so, and with 1 as soon as it is not.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > package.json <<'JSON'
{ "private": true, "allowScripts": { "node": true } }
JSON
npm install --loglevel=error --no-audit --no-fund node@24.21.0 sharp@0.35.5

cat > finding.mjs <<'JS'
import { crc32, deflateSync } from 'node:zlib'
import sharp from 'sharp'

console.log(`sharp ${sharp.versions.sharp}, libvips ${sharp.versions.vips}, Node ${process.version}`)
const side = 8
const colour = [234, 51, 35]

/** A PNG of that colour, whose profile is sharp's own of Display P3. */
async function png(bits) {
  const unit = bits === 16 ? 257 : 1
  const samples = Array.from({ length: side * side * 3 }, (_, i) => colour[i % 3] * unit)
  const pixels = bits === 16 ? Uint16Array.from(samples) : Uint8Array.from(samples)
  const raw = { width: side, height: side, channels: 3 }
  const plain = await sharp(pixels, { raw }).toColourspace(bits === 16 ? 'rgb16' : 'srgb').png().toBuffer()
  const { icc } = await sharp(await sharp(plain).withIccProfile('p3').png().toBuffer()).metadata()
  const data = Buffer.concat([Buffer.from('p3\0\0', 'latin1'), deflateSync(icc)])
  const typed = Buffer.concat([Buffer.from('iCCP'), data])
  const frame = Buffer.alloc(8)
  frame.writeUInt32BE(data.length, 0)
  frame.writeUInt32BE(crc32(typed), 4)
  const chunk = Buffer.concat([frame.subarray(0, 4), typed, frame.subarray(4)])
  return Buffer.concat([plain.subarray(0, 33), chunk, plain.subarray(33)])
}

async function shown(bits) {
  const file = await png(bits)
  const { depth, hasProfile } = await sharp(file).metadata()
  if (depth !== (bits === 16 ? 'ushort' : 'uchar') || !hasProfile) process.exit(1)
  const bytes = await sharp(file).toColourspace('srgb').raw({ depth: 'uchar' }).toBuffer()
  return [...bytes.subarray(0, 3)].join(', ')
}

const [eight, sixteen] = [await shown(8), await shown(16)]
console.log(`8 bit to sRGB:   ${eight}`)
console.log(`16 bit to sRGB:  ${sixteen}`)
process.exit(eight === '255, 0, 3' && sixteen === '234, 51, 35' ? 0 : 1)
JS
./node_modules/.bin/node finding.mjs
