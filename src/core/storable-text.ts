import { deepestJson } from './json-depth.ts';

/**
 * In what JSON.stringify wrote, the escape of a NUL or of half a surrogate pair, behind backslashes that
 * are escaped themselves.
 */
const unstorable = /(?<!\\)((?:\\\\)*)\\u(?:0000|d[89a-f][0-9a-f]{2})/g;
const replacement = '\ufffd';

/** Postgres refuses NUL and half a surrogate pair in text: U+FFFD takes their place. */
export function storableText(text: string): string {
  return text.toWellFormed().replaceAll('\0', replacement);
}

/** The value as JSON that Postgres takes: the texts in it, and the names of fields, are storable. */
export function storableJson(value: unknown): string {
  return JSON.stringify(value).replace(unstorable, `$1${replacement}`);
}

/**
 * Whether a value of JSON can be kept in Postgres as it is: no text in it has a NUL character or half of
 * a surrogate pair, and it is not nested so deeply that nobody can write it.
 */
export function isStorable(value: unknown): boolean {
  return isWritable(value) && JSON.stringify(value).search(unstorable) < 0;
}

/** JSON.parse reads any depth; JSON.stringify, which calls itself, does not write it. */
function isWritable(value: unknown): boolean {
  let level = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > deepestJson) return false;
    level = level.flatMap((each) =>
      typeof each === 'object' && each !== null ? Object.values(each) : [],
    );
  }
  return true;
}
