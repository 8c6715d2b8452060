import type { Claim } from '../core/attempt.ts';

/** On the backend, for the inputs and for the outputs of an attempt: nobody else writes there. */
export function attemptFolder(attemptId: string): string {
  return `tmlsr/${attemptId}`;
}

/** That of the attempt which the claim is for. */
export function folderOf({ claim }: { readonly claim: Claim }): string {
  return attemptFolder(claim.attempt.id);
}
