/** The rows of a statement that was written by hand: the drivers wrap them differently. */
export function rowsOf<T>(result: unknown): T[] {
  return Array.isArray(result) ? result : (result as { readonly rows: T[] }).rows;
}

/** The first row of a statement that always has one. */
export function firstRow<T>(rows: readonly T[], what: string): T {
  const [row] = rows;
  if (row === undefined) throw new Error(`The statement gave no ${what}`);
  return row;
}
