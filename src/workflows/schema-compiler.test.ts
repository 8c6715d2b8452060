import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { collectGarbage } from '../../test/support/live-memory.ts';
import { compileSchema } from './schema-compiler.ts';

describe('compileSchema', () => {
  it('checks what the schema says', () => {
    const validate = compileSchema({ type: 'integer', minimum: 3 });
    assert.deepEqual([validate(3), validate(2), validate('3')], [true, false, false]);
  });

  it('takes a schema that names its dialect and itself, as often as it comes', () => {
    const schema = {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      $id: 'https://example.com/a',
      $defs: { a: { enum: ['b'] } },
      $ref: '#/$defs/a',
    };
    for (let i = 0; i < 2; i += 1) {
      const validate = compileSchema({ ...schema });
      assert.deepEqual([validate('b'), validate('c')], [true, false]);
    }
  });

  for (const [schema, reason] of [
    [{ type: 'whole' }, /type must be/],
    [{ minimun: 3 }, /unknown keyword: "minimun"/],
    [{ $ref: 'https://example.com/other' }, /resolve reference/],
    [{ $schema: 'https://example.com/other' }, /no schema with key or ref/],
  ] as const) {
    it(`refuses ${JSON.stringify(schema)}`, () => {
      assert.throws(() => compileSchema(schema), reason);
    });
  }

  it('keeps nothing of a schema that nobody uses any more', async () => {
    const compiled = Array.from({ length: 20 }, (_, minimum) => {
      return new WeakRef(compileSchema({ type: 'integer', minimum }));
    });
    // What a WeakRef has given out is held until the end of the turn.
    await setImmediate();
    collectGarbage();
    assert.ok(compiled.every((each) => each.deref() === undefined));
  });
});
