import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import type { JsonSchema } from '../core/json-schema.ts';

/** Keywords that are misspelt are refused; formats are notes for people. */
const options = {
  strict: true,
  strictTypes: false,
  strictTuples: false,
  allowUnionTypes: true,
  validateFormats: false,
} as const;

/** Knows how schemas are written, which takes long to learn. */
const grammar = new Ajv2020(options);

/** @throws Error that says what is wrong with the schema. */
export function compileSchema(schema: JsonSchema): ValidateFunction {
  grammar.validateSchema(schema, true);
  // An instance keeps for ever what it has compiled, and schemas come and go with files and servers.
  return new Ajv2020({ ...options, meta: false, validateSchema: false }).compile(schema);
}
