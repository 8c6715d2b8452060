import { z } from '@hono/zod-openapi';
import { invalidField } from '../core/errors.ts';
import { didYouMean } from '../core/nearest.ts';

/** A field that a client wrote and that changed nothing. */
export const ignoredField = z
  .object({ field: z.string(), reason: z.string() })
  .openapi('IgnoredField', {
    example: { field: 'outscal', reason: 'is no field of this request; did you mean "outscale"?' },
  });

export type IgnoredField = z.infer<typeof ignoredField>;

/** The fields that a body says something in: typed clients of old write `null` for what they do not use. */
export function namesWritten(body: object): string[] {
  return Object.entries(body)
    .filter(([, value]) => value !== null)
    .map(([name]) => name);
}

/**
 * Those of the names that the request does not have: misspelt ones cost GPU time for the wrong thing.
 *
 * @throws GatewayError `invalid_request` where they are to be refused.
 */
export function unknownFields(
  names: Iterable<string>,
  known: readonly string[],
  isRefused: boolean,
): IgnoredField[] {
  const ignored = [...names]
    .filter((name) => !known.includes(name))
    .map((field) => ({ field, reason: `is no field of this request${didYouMean(field, known)}` }));
  const [first] = ignored;
  if (first && isRefused) throw invalidField(first.field, first.reason);
  return ignored;
}
