import { z } from 'zod';
import type {
  BindingWishes,
  InputWish,
  OutputWish,
  ParameterWish,
} from '../core/bindings/wishes.ts';
import type { GatewayError } from '../core/errors.ts';
import type { Slot } from '../core/graph.ts';
import type { JsonSchema } from '../core/json-schema.ts';
import { mediaKinds } from '../core/media.ts';
import type { WorkflowLimits } from '../core/media-limits.ts';
import { misfitWords } from '../core/misfit.ts';
import { didYouMean } from '../core/nearest.ts';
import { resultKinds } from '../core/result-format.ts';
import { invalid, type Workflow } from '../core/workflow.ts';
import { parseJsonText } from './json-text.ts';
import { compileSchema } from './schema-compiler.ts';

/** What an operator says of a workflow beside its graph, in `NAME.meta.json`. */
export interface Meta
  extends Pick<
    Workflow,
    'title' | 'description' | 'aliases' | 'scale' | 'timeouts' | 'mayWait' | 'limits' | 'frames'
  > {
  readonly wishes: Omit<BindingWishes, 'exposures'>;
}

/** An id of a node is a number in the editor, and a text in a graph. */
const nodeName = z.union([z.string().min(1), z.number().int()]).transform(String);
const sourceKind = z.enum(mediaKinds);
const kind = z.enum(resultKinds);
const seconds = z.number().min(0);
const slot = z.strictObject({ node: nodeName, field: z.string().min(1) });

const input = z.strictObject({
  node: nodeName.optional(),
  field: z.string().min(1).optional(),
  type: sourceKind.optional(),
  required: z.boolean().optional(),
  description: z.string().optional(),
});

const output = z.strictObject({ node: nodeName.optional(), type: kind.optional() });

const parameter = z.strictObject({
  node: nodeName.optional(),
  field: z.string().min(1).optional(),
  slots: z.array(slot).min(1).optional(),
  schema: z.record(z.string(), z.unknown()).optional(),
  default: z.union([z.string(), z.number(), z.boolean()]).optional(),
  description: z.string().optional(),
});

const limits = z.strictObject({
  max_pixels: z.number().int().positive().optional(),
  max_seconds: z.number().positive().optional(),
  max_frames: z.number().int().positive().optional(),
});

const file = z.strictObject({
  $schema: z.string().optional(),
  title: z.string().optional(),
  description: z.string().optional(),
  type: kind.optional(),
  aliases: z.array(z.string().min(1)).optional(),
  scale: z.number().positive().optional(),
  inputs: z.record(z.string(), input).optional(),
  outputs: z.union([z.array(nodeName), z.record(z.string(), output)]).optional(),
  parameters: z.record(z.string(), z.union([z.literal(false), parameter])).optional(),
  queue_timeout: seconds.optional(),
  run_timeout: seconds.optional(),
  queue_when_unavailable: z.boolean().optional(),
  limits: limits.optional(),
  frames: z.enum(['first', 'all']).optional(),
});

/** By the name of what holds them: to guess what a misspelt field was to be. */
const knownFields = {
  '': Object.keys(file.shape),
  inputs: Object.keys(input.shape),
  outputs: Object.keys(output.shape),
  parameters: Object.keys(parameter.shape),
  slots: Object.keys(slot.shape),
  limits: Object.keys(limits.shape),
};

/** @throws GatewayError `workflow_invalid`, its message naming the field. */
export function parseMeta(text: string | null): Meta {
  const said = text === null ? {} : parseJsonText(text);
  const parsed = file.safeParse(said, { error: misfitWords });
  if (!parsed.success) throw complaint(parsed.error.issues);
  const { data } = parsed;
  return {
    title: data.title ?? null,
    description: data.description ?? null,
    aliases: data.aliases ?? [],
    scale: data.scale ?? null,
    timeouts: {
      ...(data.queue_timeout === undefined ? {} : { queueMs: secondsToMs(data.queue_timeout) }),
      ...(data.run_timeout === undefined ? {} : { runMs: secondsToMs(data.run_timeout) }),
    },
    ...(data.queue_when_unavailable === undefined ? {} : { mayWait: data.queue_when_unavailable }),
    limits: workflowLimits(data.limits),
    ...(data.frames === 'all' ? { frames: data.frames } : {}),
    wishes: {
      kind: data.type ?? null,
      inputs: data.inputs ? Object.entries(data.inputs).map(inputWish) : null,
      outputs: data.outputs ? outputWishes(data.outputs) : null,
      parameters: Object.entries(data.parameters ?? {}).map(parameterWish),
    },
  };
}

function workflowLimits({
  max_pixels,
  max_seconds,
  max_frames,
}: z.infer<typeof limits> = {}): WorkflowLimits {
  return {
    ...(max_pixels === undefined ? {} : { maxPixels: max_pixels }),
    ...(max_seconds === undefined ? {} : { maxSeconds: max_seconds }),
    ...(max_frames === undefined ? {} : { maxFrames: max_frames }),
  };
}

/** 0 stands for no limit. */
function secondsToMs(value: number): number | null {
  return value === 0 ? null : Math.ceil(value * 1_000);
}

function inputWish([name, wish]: [string, z.infer<typeof input>]): InputWish {
  if (wish.field !== undefined && wish.node === undefined) {
    throw invalid(`inputs.${name}: a field needs its node`);
  }
  return {
    name,
    node: wish.node ?? null,
    field: wish.field ?? null,
    kind: wish.type ?? null,
    isRequired: wish.required ?? true,
    description: wish.description ?? null,
  };
}

function outputWishes(
  wishes: readonly string[] | Readonly<Record<string, z.infer<typeof output>>>,
): OutputWish[] {
  if (isList(wishes)) return wishes.map((node) => ({ name: null, node, kind: null }));
  return Object.entries(wishes).map(([name, wish]) => ({
    name,
    node: wish.node ?? null,
    kind: wish.type ?? null,
  }));
}

function isList(
  wishes: readonly string[] | Readonly<Record<string, unknown>>,
): wishes is readonly string[] {
  return Array.isArray(wishes);
}

function parameterWish([name, wish]: [string, z.infer<typeof parameter> | false]): ParameterWish {
  const nothing = { slots: [], schema: null, description: null, default: undefined };
  if (wish === false) return { name, isHidden: true, ...nothing };
  if (wish.schema) checkSchema(name, wish.schema);
  return {
    name,
    isHidden: false,
    slots: slotsOf(name, wish),
    schema: wish.schema ?? null,
    description: wish.description ?? null,
    default: wish.default,
  };
}

function slotsOf(name: string, { node, field, slots }: z.infer<typeof parameter>): Slot[] {
  if ((node === undefined) !== (field === undefined)) {
    throw invalid(`parameters.${name}: "node" and "field" go together`);
  }
  if (slots && node !== undefined) {
    throw invalid(`parameters.${name}: either "node" and "field" or "slots", not both`);
  }
  if (slots) return slots;
  return node === undefined || field === undefined ? [] : [{ node, field }];
}

function checkSchema(name: string, schema: JsonSchema): void {
  try {
    compileSchema(schema);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw invalid(`parameters.${name}: its schema is no JSON Schema: ${reason}`);
  }
}

function complaint(issues: readonly z.core.$ZodIssue[]): GatewayError {
  const issue = deepest(issues);
  const path = issue.path.join('.');
  if (issue.code !== 'unrecognized_keys') {
    return invalid(path === '' ? `It ${issue.message}` : `${path}: ${issue.message}`);
  }
  const [key = ''] = issue.keys;
  const hint = didYouMean(key, fieldsAt(issue.path));
  return invalid(`${[...issue.path, key].join('.')}: there is no such field${hint}`);
}

/** Where several forms are allowed, the one that came farthest is the one that was meant. */
function deepest(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue {
  const [issue] = issues as [z.core.$ZodIssue];
  if (issue.code !== 'invalid_union') return issue;
  const forms = issue.errors
    .filter((form) => form.length > 0)
    .map(deepest)
    .sort((a, b) => closeness(b) - closeness(a));
  const [closest] = forms;
  return closest ? { ...closest, path: [...issue.path, ...closest.path] } : issue;
}

/** A wrong field is closer than a wrong type of the whole. */
function closeness(issue: z.core.$ZodIssue): number {
  return issue.path.length + (issue.code === 'unrecognized_keys' ? 1 : 0);
}

function fieldsAt(path: readonly PropertyKey[]): readonly string[] {
  if (path.includes('slots')) return knownFields.slots;
  const [first] = path;
  const isKnown =
    first === 'inputs' || first === 'outputs' || first === 'parameters' || first === 'limits';
  return isKnown ? knownFields[first] : knownFields[''];
}
