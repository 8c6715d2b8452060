/** The first `most` characters of a text. A cut never leaves half of a surrogate pair. */
export function cutText(text: string, most: number): string {
  if (text.length <= most) return text;
  // A character takes two code units at most, so that no more of a long text is looked at.
  return [...text.slice(0, most * 2)].slice(0, most).join('');
}

/** As much of a text as takes `most` bytes of UTF-8. A cut never leaves a part of a character. */
export function cutBytes(text: string, most: number): string {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= most) return text;
  let end = most;
  // What continues a character begins with the bits 10.
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes.subarray(0, end));
}
