/**
 * Whether a party that has `own` places may take one more, when `taken` of all `places` are taken by
 * anybody. It has to leave more free than it has: alone it has half of them at most, the next has half
 * of the rest, and whoever comes finds one. What was taken cannot be called back, so room is kept.
 */
export function mayTakePlace(own: number, taken: number, places: number): boolean {
  return own < places - taken;
}

/** How many places it would have in the end if nobody else took any. */
export function mostPlaces(own: number, taken: number, places: number): number {
  return own + Math.max(0, Math.ceil((places - taken - own) / 2));
}
