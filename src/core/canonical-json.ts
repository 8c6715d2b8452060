/** The same text for the same value, in whatever order its objects have their keys. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(sorted(value));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  // Lists of pairs: an object puts names that are numbers first.
  return entries.map(([key, each]) => [key, sorted(each)]);
}
