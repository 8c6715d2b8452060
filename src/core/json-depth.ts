/** Levels of arrays and objects in each other: more than anybody needs, and far less than what a stack holds. */
export const deepestJson = 500;

const quote = 0x22;
const backslash = 0x5c;
/** By which `[` differs from `{`, and `]` from `}`. */
const curly = 0x20;
const opening = 0x7b;
const closing = 0x7d;

/**
 * Whether a text of JSON is nested more deeply than we take. JSON.parse reads any depth, and all that calls itself
 * for what it made, JSON.stringify first of all, comes to the end of the stack.
 */
export function isTooDeep(json: string): boolean {
  if (json.length <= deepestJson) return false;
  let depth = 0;
  for (let at = 0; at < json.length; at += 1) {
    const code = json.charCodeAt(at);
    if (code === quote) at = endOfText(json, at);
    else if ((code | curly) === closing) depth -= 1;
    else if ((code | curly) === opening) {
      depth += 1;
      if (depth > deepestJson) return true;
    }
  }
  return false;
}

/** Where the text ends that begins there. */
function endOfText(json: string, start: number): number {
  for (let end = start; ; ) {
    end = json.indexOf('"', end + 1);
    if (end < 0) return json.length;
    let before = end - 1;
    while (json.charCodeAt(before) === backslash) before -= 1;
    // An even number of backslashes are escaped themselves.
    if ((end - before) % 2 === 1) return end;
  }
}
