/** A letter of the key, written by its number. */
const escaped = /\\u00(?:5f|6f|7[024])/i;

/**
 * Whether an object in a text of JSON has the key `__proto__`. What copies an object field by field takes that for
 * something else than a name, and it is gone without a word.
 */
export function hasProtoKey(json: string): boolean {
  if (!json.includes('__proto__') && !escaped.test(json)) return false;
  let isFound = false;
  try {
    JSON.parse(json, (key, value) => {
      isFound ||= key === '__proto__';
      return value;
    });
  } catch {
    // What is no JSON is refused by whoever reads it.
  }
  return isFound;
}
