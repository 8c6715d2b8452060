import { z } from '@hono/zod-openapi';

/** A whole number from 1 on as it stands in a query, where all is text. `unit`: what it counts, where that helps. */
export function wholeNumber(max: number, unit: string | null = null) {
  const what = unit === null ? 'a whole number' : `a whole number of ${unit}`;
  const message = `must be ${what} from 1 to ${max}`;
  return z
    .string('must be given once')
    .regex(/^\d{1,16}$/, message)
    .transform(Number)
    .refine((value) => value >= 1 && value <= max, message);
}
