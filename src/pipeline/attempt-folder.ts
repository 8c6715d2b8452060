/** On the backend, for the inputs and for the outputs of an attempt: nobody else writes there. */
export function attemptFolder(attemptId: string): string {
  return `tmlsr/${attemptId}`;
}
