/** Levels of arrays and objects in each other. */
const deepest = 500;

/** An escape that is none of an escaped backslash's. */
const unstorable = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/;

/**
 * Whether a value of JSON can be kept in Postgres: no text in it has a NUL character or half of a
 * surrogate pair, which `jsonb` does not take, and it is not nested so deeply that nobody can write it.
 */
export function isStorable(value: unknown): boolean {
  // Of what is well formed, JSON.stringify escapes control characters alone.
  return isWritable(value) && !unstorable.test(JSON.stringify(value));
}

/** JSON.parse reads any depth; JSON.stringify, which calls itself, does not write it. */
function isWritable(value: unknown): boolean {
  let level = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > deepest) return false;
    level = level.flatMap((each) =>
      typeof each === 'object' && each !== null ? Object.values(each) : [],
    );
  }
  return true;
}
