import { randomInt } from 'node:crypto';
import type { ErrorObject, ValidateFunction } from 'ajv/dist/2020.js';
import { GatewayError } from '../core/errors.ts';
import type { JsonSchema } from '../core/json-schema.ts';
import { type Misfit, misfitWords } from '../core/misfit.ts';
import { didYouMean } from '../core/nearest.ts';
import type { NodeCatalogue } from '../core/node-catalogue.ts';
import { schemaOf } from '../core/parameters.ts';
import { sameModel } from '../core/same-model.ts';
import type { Parameter, Workflow } from '../core/workflow.ts';
import { compileSchema } from './schema-compiler.ts';

/**
 * Checks a task's values for the parameters and draws the seeds that were asked for as `random`. What
 * was not asked for stays out.
 *
 * @throws GatewayError `invalid_request` with the field `inputs.NAME`.
 */
export function checkArguments(
  workflow: Workflow,
  catalogue: NodeCatalogue | null,
  values: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const checks = checksOf(workflow, catalogue);
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => {
      const check = checks.get(name);
      if (!check) throw unknownParameter(workflow, name);
      return [name, checkValue(name, value, check)];
    }),
  );
}

interface ParameterCheck {
  readonly isSeed: boolean;
  readonly schema: JsonSchema;
  readonly validate: ValidateFunction;
}

type Checks = ReadonlyMap<string, ParameterCheck>;

/** Compiling costs milliseconds. Both are replaced as a whole when they change, and then forgotten. */
const known = new WeakMap<Workflow, WeakMap<object, Checks>>();
const noCatalogue = {};

function checksOf(workflow: Workflow, catalogue: NodeCatalogue | null): Checks {
  const byCatalogue = known.get(workflow) ?? new WeakMap<object, Checks>();
  known.set(workflow, byCatalogue);
  const checks = byCatalogue.get(catalogue ?? noCatalogue) ?? compileChecks(workflow, catalogue);
  byCatalogue.set(catalogue ?? noCatalogue, checks);
  return checks;
}

function compileChecks(workflow: Workflow, catalogue: NodeCatalogue | null): Checks {
  return new Map(
    workflow.parameters.map((parameter: Parameter) => {
      const schema = schemaOf(parameter, workflow, catalogue);
      const { name, isSeed } = parameter;
      return [name, { isSeed, schema, validate: compileSchema(schema) }];
    }),
  );
}

function checkValue(name: string, given: unknown, check: ParameterCheck): unknown {
  const value = modelIn(given, check.schema) ?? given;
  // A list would be a link, and an object a hidden one.
  if (typeof value === 'object') throw refused(name, 'must be a text, a number, true or false');
  if (!check.validate(value)) throw refused(name, reasonOf(check));
  return check.isSeed && value === 'random' ? drawSeed(check.schema) : value;
}

/** The model that is meant, where the pool has it under another ending. */
function modelIn(value: unknown, { enum: choices }: JsonSchema): string | undefined {
  return Array.isArray(choices) ? sameModel(value, choices) : undefined;
}

/** Some nodes take no larger seeds. */
const maxDrawn = 2 ** 32 - 1;

function drawSeed(schema: JsonSchema): number {
  const { minimum, maximum } = seedSchemaOf(schema);
  const least = typeof minimum === 'number' ? Math.ceil(minimum) : 0;
  const most = typeof maximum === 'number' ? Math.floor(maximum) : maxDrawn;
  return randomInt(least, Math.min(most, least + maxDrawn) + 1);
}

function seedSchemaOf({ anyOf }: JsonSchema): JsonSchema {
  return Array.isArray(anyOf) ? (anyOf[0] as JsonSchema) : {};
}

function reasonOf({ isSeed, schema, validate }: ParameterCheck): string {
  if (isSeed) {
    const { minimum = '…', maximum = '…' } = seedSchemaOf(schema);
    return `must be a whole number from ${minimum} to ${maximum}, or "random"`;
  }
  const [error] = validate.errors ?? [];
  return error ? textOf(error) : 'is not allowed';
}

const maxChoices = 20;

function textOf({ keyword, params }: ErrorObject): string {
  if (keyword !== 'enum') return wordsFor(keyword, params) ?? 'is not allowed';
  const choices = params.allowedValues as readonly unknown[];
  const list = choices.slice(0, maxChoices).map((choice) => JSON.stringify(choice));
  const hidden = choices.length - list.length;
  return `must be one of ${list.join(', ')}${hidden > 0 ? ` and ${hidden} more` : ''}`;
}

function wordsFor(keyword: string, params: ErrorObject['params']): string | null {
  const { limit, type, pattern, multipleOf: divisor } = params;
  const inclusive = !keyword.startsWith('exclusive');
  const found: Readonly<Record<string, Omit<Misfit, 'input'>>> = {
    type: { code: 'invalid_type', expected: type === 'integer' ? 'int' : type },
    minimum: { code: 'too_small', minimum: limit, inclusive },
    exclusiveMinimum: { code: 'too_small', minimum: limit, inclusive },
    maximum: { code: 'too_big', maximum: limit, inclusive },
    exclusiveMaximum: { code: 'too_big', maximum: limit, inclusive },
    minLength: { code: 'too_small', origin: 'string', minimum: limit },
    maxLength: { code: 'too_big', origin: 'string', maximum: limit },
    multipleOf: { code: 'not_multiple_of', divisor },
  };
  if (keyword === 'pattern') return `must match the pattern ${pattern}`;
  const misfit = Object.hasOwn(found, keyword) ? found[keyword] : undefined;
  return misfit ? misfitWords({ ...misfit, input: null }) : null;
}

function unknownParameter(workflow: Workflow, name: string): GatewayError {
  const names = workflow.parameters.map((parameter) => parameter.name);
  const list = names.length === 0 ? 'it has none' : `it has ${names.join(', ')}`;
  const hint = didYouMean(name, names);
  return new GatewayError(
    'invalid_request',
    `The workflow ${workflow.name} has no parameter ${JSON.stringify(name)}: ${list}${hint}`,
    { field: `inputs.${name}` },
  );
}

function refused(name: string, reason: string): GatewayError {
  return new GatewayError('invalid_request', `inputs.${name} ${reason}`, {
    field: `inputs.${name}`,
  });
}
