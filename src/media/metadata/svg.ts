import { type Edit, nothing, type Scanner } from './edit.ts';

/** ComfyUI's stands at the very beginning; what else there is may be long. */
const searchedBytes = 1024 * 1024;
const opening = /<metadata(?:\s[^>]*)?>/g;
const closing = '</metadata>';

/** Takes the elements out that nobody sees (SVG 2 §5.10). */
export async function svgEdits(file: Scanner): Promise<Edit[]> {
  const text = (await file.bytes(0, Math.min(file.size, searchedBytes))).toString('latin1');
  const edits: Edit[] = [];
  opening.lastIndex = 0;
  for (let found = opening.exec(text); found; found = opening.exec(text)) {
    if (found[0].endsWith('/>')) continue;
    const end = endOf(text, opening.lastIndex);
    edits.push({ start: found.index, end, bytes: nothing });
    opening.lastIndex = end;
  }
  return edits;
}

/** What stands between the marks of CDATA closes nothing. */
function endOf(text: string, from: number): number {
  for (let at = from; ; ) {
    const close = text.indexOf(closing, at);
    if (close < 0) throw new Error('It is not whole');
    const data = text.slice(at, close).indexOf('<![CDATA[');
    if (data < 0) return close + closing.length;
    at = text.indexOf(']]>', at + data);
    if (at < 0) throw new Error('It is not whole');
  }
}
