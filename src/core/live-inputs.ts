import { nestedInputs, recordOf } from './input-spec.ts';
import { type Choice, isExpanded, type NodeClass, type NodeInput } from './node-catalogue.ts';

/** What a node holds by the names of its inputs. */
type Held = Readonly<Record<string, unknown>>;

/**
 * The inputs that a node has by what it holds: those of its class, and those that they bring along, under
 * the names that prompts give them (`format.bit_depth`, `images.image0`). It is what ComfyUI itself looks
 * at.
 */
export function liveInputs({ inputs }: Pick<NodeClass, 'inputs'>, held: Held): NodeInput[] {
  // Most classes have no such inputs.
  if (!inputs.some(isExpanded)) return [...inputs];
  return inputs.flatMap((input) => [...expanded(input, held)]);
}

/** The input of this name; also one that only another choice of the node would bring. */
export function inputNamed(nodeClass: NodeClass, held: Held, name: string): NodeInput | undefined {
  const live = liveInputs(nodeClass, held).find((input) => input.name === name);
  if (live) return live;
  // By each choice on the way to it, as a name tells no choices.
  const brought = (inputs: readonly NodeInput[]): NodeInput | undefined => {
    for (const input of inputs) {
      if (input.name === name) return input;
      if (!name.startsWith(`${input.name}.`) || input.type !== dynamicCombo) continue;
      for (const { inputs: inside } of branchesOf(input)) {
        const found = brought(below(input, inside));
        if (found) return found;
      }
    }
    return undefined;
  };
  return brought(nodeClass.inputs);
}

/**
 * Of a choice that brings inputs along, the values for which a node holds everything that they require;
 * `null` for any other input.
 */
export function openChoices(input: NodeInput, held: Held): readonly Choice[] | null {
  const branches = branchesOf(input);
  if (branches.length === 0) return null;
  const isOpen = ({ name, isRequired }: NodeInput) =>
    !isRequired || name === input.name || Object.hasOwn(held, name);
  return branches
    .filter(({ key }) => withChosen(input, { ...held, [input.name]: key }).every(isOpen))
    .map(({ key }) => key);
}

export const dynamicCombo = 'COMFY_DYNAMICCOMBO_V3';

function* expanded(input: NodeInput, held: Held): Generator<NodeInput> {
  switch (input.type) {
    case dynamicCombo:
      yield* withChosen(input, held);
      break;
    case 'COMFY_AUTOGROW_V3':
      yield* members(input);
      break;
    case 'COMFY_DYNAMICSLOT_V3':
      yield* withSlot(input, held);
      break;
    case 'COMFY_DYNAMICGROUP_V3':
      yield* rows(input, held);
      break;
    default:
      // Of a kind that came later nothing is known.
      if (!isExpanded(input)) yield input;
  }
}

/**
 * Each choice has inputs of its own. ComfyUI passes over a choice that it does not know, as over an input
 * that it does not have; only a node that has to have it fails then.
 */
function* withChosen(input: NodeInput, held: Held): Generator<NodeInput> {
  const branches = branchesOf(input);
  const choices = input.isRequired ? branches.map(({ key }) => key) : null;
  yield { ...input, type: 'COMBO', choices };
  const chosen = branches.find(({ key }) => key === held[input.name]);
  for (const inner of below(input, chosen?.inputs ?? [])) yield* expanded(inner, held);
}

/** As many inputs of one kind as are linked; the first few have to be. */
function* members(input: NodeInput): Generator<NodeInput> {
  const template = recordOf(input.settings.template);
  const [kind] = nestedInputs(template.input);
  if (!kind) return;
  const least = wholeNumber(template.min, 1);
  const names = Array.isArray(template.names)
    ? template.names.slice(0, mostMembers).map(String)
    : Array.from(
        { length: Math.min(wholeNumber(template.max, 10), mostMembers) },
        (_, index) => `${template.prefix ?? ''}${index}`,
      );
  for (const [index, name] of names.entries()) {
    const isRequired = kind.isRequired && index < least;
    yield { ...kind, name: `${input.name}.${name}`, isRequired };
  }
}

/** ComfyUI's own limit. */
const mostMembers = 100;

/** What is linked to it brings inputs along. */
function* withSlot(input: NodeInput, held: Held): Generator<NodeInput> {
  const { slotType, inputs } = input.settings;
  yield { ...input, type: String(slotType ?? '*'), isRequired: false };
  if (!Object.hasOwn(held, input.name)) return;
  for (const inner of below(input, nestedInputs(inputs))) yield* expanded(inner, held);
}

/** Rows of fields: `loras.0.strength`. Those that are held count, and the first few have to be. */
function* rows(input: NodeInput, held: Held): Generator<NodeInput> {
  const prefix = `${input.name}.`;
  const indices = Object.keys(held).flatMap((name) =>
    name.startsWith(prefix) ? Number.parseInt(name.slice(prefix.length), 10) : [],
  );
  const present = new Set(indices.filter((index) => index >= 0 && index < mostMembers));
  for (let row = 0; present.size < wholeNumber(input.settings.min, 0); row += 1) present.add(row);
  for (const row of present) {
    for (const field of nestedInputs(input.settings.template)) {
      yield { ...field, name: `${prefix}${row}.${field.name}` };
    }
  }
}

interface Branch {
  readonly key: Choice;
  readonly inputs: readonly NodeInput[];
}

function branchesOf({ settings }: NodeInput): Branch[] {
  const options = Array.isArray(settings.options) ? settings.options.map(recordOf) : [];
  return options.flatMap(({ key, inputs }) =>
    typeof key === 'string' || typeof key === 'number' || typeof key === 'boolean'
      ? { key, inputs: nestedInputs(inputs) }
      : [],
  );
}

/** ComfyUI requires no choice inside another, and nodes do without: older graphs lack them. */
function below({ name }: NodeInput, inputs: readonly NodeInput[]): NodeInput[] {
  return inputs.map((inner) => ({
    ...inner,
    name: `${name}.${inner.name}`,
    isRequired: inner.isRequired && inner.type !== dynamicCombo,
  }));
}

function wholeNumber(value: unknown, otherwise: number): number {
  return Number.isSafeInteger(value)
    ? Math.min(Math.max(0, value as number), mostMembers)
    : otherwise;
}
