import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { z } from 'zod';
import { misfitWords } from './misfit.ts';

describe('what is wrong with a value', () => {
  const table: readonly [schema: z.ZodType, value: unknown, words: string][] = [
    [z.string(), undefined, 'is missing'],
    [z.enum(['a', 'b']), undefined, 'is missing'],
    [z.string(), 3, 'must be a string'],
    [z.string(), null, 'must be a string'],
    [z.number(), Number.NaN, 'must be a number'],
    [z.int(), 1.5, 'must be a whole number'],
    [z.boolean(), 'yes', 'must be true or false'],
    [z.object({}), [], 'must be an object'],
    [z.record(z.string(), z.string()), 'x', 'must be an object'],
    [z.array(z.string()), {}, 'must be a list'],
    [z.date(), 'today', 'must be of another type'],
    [z.literal('ok'), 'no', 'must be ok'],
    [z.enum(['a', 'b', 'c']), 'd', 'must be a, b or c'],
    [z.string().max(3), 'abcd', 'must be at most 3 characters'],
    [z.string().min(1), '', 'must not be empty'],
    [z.array(z.int()).min(1), [], 'must not be empty'],
    [z.string().min(2), '', 'must be at least 2 characters'],
    [z.array(z.int()).max(2), [1, 2, 3], 'must have at most 2 entries'],
    [z.tuple([z.int(), z.int()]), [1], 'must have at least 2 entries'],
    [z.number().max(3), 4, 'must be at most 3'],
    [z.number().lt(3), 3, 'must be less than 3'],
    [z.number().gt(0), 0, 'must be more than 0'],
    [z.number().multipleOf(8), 9, 'must be a multiple of 8'],
    [z.iso.datetime(), 'now', 'must be an instant, such as 2026-08-01T12:00:00Z'],
    [z.string().regex(/^a/), 'b', 'has not the form that it takes'],
    [z.strictObject({}), { x: 1 }, 'has no field "x"'],
    [z.record(z.string().max(1), z.int()), { ab: 1 }, 'has a name that it does not take'],
    [z.union([z.string(), z.int()]), {}, 'is none of the forms that it takes'],
    [z.custom(() => false), 1, 'is none of the forms that it takes'],
  ];
  for (const [schema, value, words] of table) {
    it(words, () => {
      const { error } = schema.safeParse(value, { error: misfitWords });
      assert.deepEqual(error?.issues[0]?.message, words);
    });
  }
});
