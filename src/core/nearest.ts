/**
 * The candidates that somebody may have meant who wrote `wanted`, the likeliest first: those that
 * differ by few letters, and file names that hold its name or are held by it.
 */
export function nearest(wanted: string, candidates: Iterable<string>, atMost: number): string[] {
  const stem = stemOf(wanted);
  return [...candidates]
    .map((candidate) => ({ candidate, distance: unlikeness(stem, stemOf(candidate)) }))
    .filter(({ distance }) => distance <= farthest)
    .sort((a, b) => a.distance - b.distance)
    .slice(0, atMost)
    .map(({ candidate }) => candidate);
}

/** `; did you mean "run_timeout"?`, or nothing. */
export function didYouMean(wanted: string, candidates: Iterable<string>): string {
  const [likeliest] = nearest(wanted, candidates, 1);
  return likeliest === undefined ? '' : `; did you mean ${JSON.stringify(likeliest)}?`;
}

/** The part of all letters that may differ. */
const farthest = 0.4;
/** Of a name that holds the other one. */
const held = 0.3;
/** Shorter names are held by too many. */
const minHeldLength = 4;

/** Without folders and ending. */
function stemOf(name: string): string {
  const base = name.slice(Math.max(name.lastIndexOf('/'), name.lastIndexOf('\\')) + 1);
  return base.replace(/\.[A-Za-z0-9]+$/, '').toLowerCase();
}

/** From 0 for the same to 1 for nothing in common. */
function unlikeness(a: string, b: string): number {
  const [short, long] = a.length < b.length ? [a, b] : [b, a];
  if (long.length === 0) return 0;
  const isHeld = short.length >= minHeldLength && long.includes(short);
  const ceiling = isHeld ? held : 1;
  if ((long.length - short.length) / long.length > farthest) return ceiling;
  return Math.min(ceiling, editDistance(short, long) / long.length);
}

/** How many letters must be put in, taken out or replaced to make one of the other (Levenshtein). */
function editDistance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = (above[column - 1] as number) + (a[row - 1] === b[column - 1] ? 0 : 1);
      const dropped = Math.min(above[column] as number, current[column - 1] as number) + 1;
      current.push(Math.min(replaced, dropped));
    }
    above = current;
  }
  return above[b.length] as number;
}
