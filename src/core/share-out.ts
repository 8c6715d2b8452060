/** How many backends a gateway drives, and how many it should take on or let go of. */
export interface ShareOut {
  readonly take: number;
  readonly giveUp: number;
}

/**
 * An even share of `total` backends for the gateway `me`. `held` tells for every gateway that is alive
 * how many it drives. Those that drive most keep the odd ones, so that as few as possible move.
 */
export function shareOut(me: string, held: ReadonlyMap<string, number>, total: number): ShareOut {
  const gateways = [...held.keys()].sort(
    (a, b) => (held.get(b) ?? 0) - (held.get(a) ?? 0) || (a < b ? -1 : 1),
  );
  const mine = held.get(me) ?? 0;
  const least = Math.floor(total / Math.max(1, gateways.length));
  const odd = total - least * gateways.length;
  const share = least + (gateways.indexOf(me) < odd ? 1 : 0);
  return { take: Math.max(0, share - mine), giveUp: Math.max(0, mine - share) };
}
