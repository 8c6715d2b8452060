/** The rows of a statement that was written by hand: the drivers wrap them differently. */
export function rowsOf<T>(result: unknown): T[] {
  return Array.isArray(result) ? result : (result as { readonly rows: T[] }).rows;
}
