/** An escape that is none of an escaped backslash's. */
const unstorable = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/;

/**
 * Whether a value of JSON can be kept in Postgres: no text in it has a NUL character or half of a
 * surrogate pair, which `jsonb` does not take.
 */
export function isStorable(value: unknown): boolean {
  // Of what is well formed, JSON.stringify escapes control characters alone.
  return !unstorable.test(JSON.stringify(value));
}
