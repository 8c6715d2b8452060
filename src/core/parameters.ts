import type { GraphNode } from './graph.ts';
import type { JsonSchema } from './json-schema.ts';
import { dynamicCombo, inputNamed, openChoices } from './live-inputs.ts';
import type { NodeCatalogue, NodeInput } from './node-catalogue.ts';
import { sameModel } from './same-model.ts';
import type { Parameter, Workflow } from './workflow.ts';

/** Larger whole numbers lose digits on their way through JSON. */
const maxSafe = Number.MAX_SAFE_INTEGER;

/**
 * By what a task's value is checked, and what clients read: what the node's class says of it, and over
 * that what the operator says. A seed may be asked for as `random`. Without a catalogue, or where the
 * class is unknown, the value in the graph tells the type.
 */
export function schemaOf(
  parameter: Parameter,
  workflow: Pick<Workflow, 'graph'>,
  catalogue: NodeCatalogue | null,
): JsonSchema {
  const value: JsonSchema = {
    ...valueSchema(parameter, workflow, catalogue),
    ...parameter.schema,
  };
  // By the name that the pool has for it.
  const model = Array.isArray(value.enum) ? sameModel(parameter.default, value.enum) : undefined;
  const usual = model ?? parameter.default;
  return {
    ...(parameter.description === null ? {} : { description: parameter.description }),
    ...(parameter.isSeed ? { anyOf: [value, { const: 'random' }] } : value),
    ...(usual === undefined ? {} : { default: usual }),
  };
}

/** An object with any of the parameters and nothing else. */
export function parametersSchema(
  workflow: Pick<Workflow, 'graph' | 'parameters'>,
  catalogue: NodeCatalogue | null,
): JsonSchema {
  return {
    type: 'object',
    properties: Object.fromEntries(
      workflow.parameters.map((parameter) => [
        parameter.name,
        schemaOf(parameter, workflow, catalogue),
      ]),
    ),
    additionalProperties: false,
  };
}

/** What every node takes where the value goes. */
function valueSchema(
  { slots, isSeed }: Parameter,
  { graph }: Pick<Workflow, 'graph'>,
  catalogue: NodeCatalogue | null,
): JsonSchema {
  const schemas = slots.map(({ node, field }) => {
    const held = graph[node]?.inputs ?? {};
    const nodeClass = catalogue?.get(graph[node]?.class_type ?? '');
    const input = nodeClass && inputNamed(nodeClass, held, field);
    const known = input && schemaOfInput(input, held);
    if (known) return known;
    return isSeed
      ? { type: 'integer', minimum: 0, maximum: maxSafe }
      : schemaOfValue(graph[node]?.inputs[field]);
  });
  return schemas.reduce(narrowed, {});
}

/** `null` for an input whose type no value can be written for. */
function schemaOfInput(input: NodeInput, held: GraphNode['inputs']): JsonSchema | null {
  const { type, choices, settings } = input;
  if (type === 'INT') return { type: 'integer', ...boundsOf(settings, maxSafe) };
  if (type === 'FLOAT') return { type: 'number', ...boundsOf(settings, null) };
  if (type === 'BOOLEAN') return { type: 'boolean' };
  if (type === 'STRING') return { type: 'string' };
  // What another choice brings along, a task could not give.
  const open = openChoices(input, held) ?? choices;
  return (type === 'COMBO' || type === dynamicCombo) && open?.length ? { enum: open } : null;
}

function boundsOf(
  { min, max }: Readonly<Record<string, unknown>>,
  limit: number | null,
): JsonSchema {
  const clamped = (value: number) =>
    limit === null ? value : Math.min(limit, Math.max(-limit, value));
  return {
    ...(typeof min === 'number' ? { minimum: clamped(min) } : {}),
    ...(typeof max === 'number' ? { maximum: clamped(max) } : {}),
  };
}

/** Lists and objects stand for links and what else a node understands: no client writes them. */
function schemaOfValue(value: unknown): JsonSchema {
  const type = typeof value;
  const isPlain = type === 'number' || type === 'string' || type === 'boolean';
  return { type: isPlain ? type : ['string', 'number', 'boolean'] };
}

/** What both allow. */
function narrowed(a: JsonSchema, b: JsonSchema): JsonSchema {
  const minimum = extreme(Math.max, a.minimum, b.minimum);
  const maximum = extreme(Math.min, a.maximum, b.maximum);
  const choices =
    Array.isArray(a.enum) && Array.isArray(b.enum)
      ? { enum: a.enum.filter((choice) => (b.enum as unknown[]).includes(choice)) }
      : {};
  const type = a.type === 'integer' || b.type === 'integer' ? { type: 'integer' } : {};
  return {
    ...a,
    ...b,
    ...type,
    ...choices,
    ...(minimum === null ? {} : { minimum }),
    ...(maximum === null ? {} : { maximum }),
  };
}

function extreme(
  choose: (...values: number[]) => number,
  ...bounds: readonly unknown[]
): number | null {
  const numbers = bounds.filter((bound) => typeof bound === 'number');
  return numbers.length === 0 ? null : choose(...numbers);
}
