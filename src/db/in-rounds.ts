/**
 * Repeats what changes `atOnce` rows at most, until there are fewer; returns how many there were in all. Rows are
 * locked for the length of a statement, which is to be short.
 */
export async function inRounds(atOnce: number, round: () => Promise<number>): Promise<number> {
  let count = 0;
  for (let changed = atOnce; changed === atOnce; count += changed) changed = await round();
  return count;
}
