/** The code that the system, or Node, gave the error, such as `ENOENT`; empty where it has none. */
export function systemCodeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
