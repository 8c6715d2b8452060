/** EBML ids (RFC 8794 §17.1, RFC 9559 §5.1). */
const ebmlId = 0x1a45dfa3;
const segmentId = 0x18538067;

/**
 * Where the segment of a WebM or Matroska file says that it ends, in bytes from the file's beginning;
 * `null` for one that was streamed and does not know. Everything of note is in that segment, and
 * parsers read what there is of it: this tells whether there should be more.
 */
export function segmentEnd(head: Uint8Array): number | null {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const header = readElement(view, 0);
  if (header?.id !== ebmlId || header.end === null) return null;
  const segment = readElement(view, header.end);
  return segment?.id === segmentId ? segment.end : null;
}

/** Of elements with an id of four bytes, which both of these have. */
function readElement(view: DataView, at: number): { id: number; end: number | null } | null {
  if (at + 12 > view.byteLength) return null;
  const first = view.getUint8(at + 4);
  // The zeros before the first one tell how many bytes follow.
  const length = Math.clz32(first) - 24 + 1;
  if (length > 8) return null;
  let size = first & (0xff >> length);
  let isUnknown = size === 0xff >> length;
  for (let i = 1; i < length; i += 1) {
    const byte = view.getUint8(at + 4 + i);
    size = size * 256 + byte;
    isUnknown &&= byte === 0xff;
  }
  return { id: view.getUint32(at), end: isUnknown ? null : at + 4 + length + size };
}
