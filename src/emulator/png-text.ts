/** Text in a PNG file: one `tEXt` chunk a key, behind the header (PNG specification §11.3.3.2). */
import { crc32 } from 'node:zlib';

/** Signature (8 bytes) and the IHDR chunk (25 bytes), which has to come first. */
const headerBytes = 33;

/** Adds each value as JSON. */
export function withText(png: Buffer, texts: Readonly<Record<string, unknown>>): Buffer {
  const chunks = Object.entries(texts).map(([key, value]) => textChunk(key, ascii(value)));
  return Buffer.concat([png.subarray(0, headerBytes), ...chunks, png.subarray(headerBytes)]);
}

function textChunk(key: string, text: string): Buffer {
  const body = Buffer.from(`tEXt${key}\0${text}`, 'latin1');
  const chunk = Buffer.alloc(body.length + 8);
  chunk.writeUInt32BE(body.length - 4, 0);
  body.copy(chunk, 4);
  chunk.writeUInt32BE(crc32(body), body.length + 4);
  return chunk;
}

/** As Python's `json.dumps`: what is not ASCII is escaped. */
function ascii(value: unknown): string {
  return JSON.stringify(value).replaceAll(
    /[\u0080-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
