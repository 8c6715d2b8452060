import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import type { JsonSchema } from '../core/json-schema.ts';

/** Keywords that are misspelt are refused; formats are notes for people. */
const ajv = new Ajv2020({
  strict: true,
  strictTypes: false,
  strictTuples: false,
  allowUnionTypes: true,
  validateFormats: false,
  // A schema that names itself must not hinder its next version.
  addUsedSchema: false,
});

/** @throws Error that says what is wrong with the schema. */
export function compileSchema(schema: JsonSchema): ValidateFunction {
  const validate = ajv.compile(schema);
  // It would be kept for ever, and schemas come and go with files and servers.
  ajv.removeSchema(schema);
  return validate;
}
