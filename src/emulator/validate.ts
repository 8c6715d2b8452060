/** What `POST /prompt` checks, and the words in which it refuses. */
import type { Folders } from './folders.ts';
import { nodeClasses } from './nodes/index.ts';
import type { Catalog, ClassInfo, InputSpec } from './object-info.ts';
import { bool, float, int, keyError, PythonError, repr, str } from './python.ts';
import type { Prompt, PromptNode } from './wire.ts';

export interface NodeError {
  readonly type: string;
  readonly message: string;
  readonly details: string;
  readonly extra_info: Record<string, unknown>;
}

export type NodeErrors = Record<
  string,
  { errors: readonly NodeError[]; dependent_outputs: string[]; class_type: string }
>;

export type Validation =
  | { readonly error: null; readonly outputs: readonly string[]; readonly nodeErrors: NodeErrors }
  | { readonly error: NodeError; readonly nodeErrors: NodeErrors };

/** Checks a graph and converts its inputs in place. `targets` narrows the outputs to run. */
export async function validatePrompt(
  prompt: unknown,
  targets: readonly unknown[] | null,
  folders: Folders,
  catalog: Catalog,
): Promise<Validation> {
  if (typeof prompt !== 'object' || prompt === null) {
    throw new PythonError('TypeError', `${repr(prompt)} is not iterable`);
  }
  const graph = prompt as Prompt;
  const outputs: string[] = [];
  for (const [id, node] of Object.entries(graph)) {
    const refusal = checkClass(id, node, catalog);
    if (refusal !== null) return { error: refusal, nodeErrors: {} };
    const isWanted = targets === null || targets.includes(id);
    if (catalog.classes.get(node.class_type)?.output_node && isWanted) outputs.push(id);
  }
  if (outputs.length === 0) {
    return { error: refuse('prompt_no_outputs', 'Prompt has no outputs'), nodeErrors: {} };
  }
  return new GraphCheck(graph, folders, catalog).run(outputs);
}

function checkClass(id: string, node: unknown, { classes }: Catalog): NodeError | null {
  const details = `Node ID '#${id}'`;
  if (typeof node !== 'object' || node === null) {
    throw new PythonError('TypeError', `argument of type ${repr(node)} is not iterable`);
  }
  if (!('class_type' in node)) {
    const message = 'Cannot execute because a node is missing the class_type property.';
    return refuse('invalid_prompt', message, details);
  }
  if (typeof node.class_type !== 'string' || !classes.has(node.class_type)) {
    const message = `Cannot execute because node ${str(node.class_type)} does not exist.`;
    return refuse('invalid_prompt', message, details);
  }
  return null;
}

interface Verdict {
  readonly isValid: boolean;
  readonly errors: readonly NodeError[];
}

class GraphCheck {
  readonly #graph: Prompt;
  readonly #folders: Folders;
  readonly #catalog: Catalog;
  readonly #verdicts = new Map<string, Verdict>();
  readonly #open = new Set<string>();

  constructor(graph: Prompt, folders: Folders, catalog: Catalog) {
    this.#graph = graph;
    this.#folders = folders;
    this.#catalog = catalog;
  }

  async run(outputs: readonly string[]): Promise<Validation> {
    const good: string[] = [];
    const reasons: NodeError[] = [];
    const nodeErrors: NodeErrors = {};
    for (const output of outputs) {
      const verdict = await this.#checkOutput(output);
      if (verdict.isValid) {
        good.push(output);
        continue;
      }
      reasons.push(...verdict.errors);
      for (const [id, { errors }] of this.#verdicts) {
        // A node below a bad one is invalid too, but the fault is reported once, where it is.
        if (errors.length === 0) continue;
        const classType = this.#graph[id]?.class_type ?? '';
        nodeErrors[id] ??= { errors, dependent_outputs: [], class_type: classType };
        nodeErrors[id].dependent_outputs.push(output);
      }
    }
    if (good.length > 0) return { error: null, outputs: good, nodeErrors };
    const details = reasons.map((error) => `${error.message}: ${error.details}`).join('\n');
    const message = 'Prompt outputs failed validation';
    return { error: refuse('prompt_outputs_failed_validation', message, details), nodeErrors };
  }

  async #checkOutput(id: string): Promise<Verdict> {
    try {
      return await this.#check(id);
    } catch (error) {
      const { type, message } = asPython(error);
      const verdict = invalid({
        type: 'exception_during_validation',
        message: 'Exception when validating node',
        details: message,
        extra_info: { exception_type: type, traceback: traceback() },
      });
      this.#verdicts.set(id, verdict);
      return verdict;
    }
  }

  async #check(id: string): Promise<Verdict> {
    const known = this.#verdicts.get(id);
    if (known !== undefined) return known;
    // ComfyUI recurses until Python gives up and forgets why: a cycle is invalid without a reason.
    if (this.#open.has(id)) return { isValid: false, errors: [] };
    this.#open.add(id);
    try {
      const verdict = await this.#checkNode(id);
      this.#verdicts.set(id, verdict);
      return verdict;
    } finally {
      this.#open.delete(id);
    }
  }

  async #checkNode(id: string): Promise<Verdict> {
    const node = this.#graph[id];
    if (node === undefined) throw keyError(id);
    if (node.inputs === undefined) throw keyError('inputs');
    const info = this.#catalog.classes.get(node.class_type) as ClassInfo;
    const errors: NodeError[] = [];
    let isValid = true;
    for (const [name, spec, isRequired] of inputsOf(info, node)) {
      if (!(name in node.inputs)) {
        if (isRequired) errors.push(missingInput(name));
        continue;
      }
      const value = node.inputs[name];
      if (Array.isArray(value)) {
        const verdict = await this.#checkLink(name, spec, value);
        errors.push(...verdict.errors);
        isValid &&= verdict.isValid;
      } else {
        const error = checkValue(node, name, spec, this.#catalog);
        if (error !== null) errors.push(error);
      }
    }
    errors.push(...(await this.#checkFiles(node)));
    return { isValid: isValid && errors.length === 0, errors };
  }

  async #checkLink(name: string, spec: InputSpec, link: readonly unknown[]): Promise<Verdict> {
    const input_config = [spec[0], spec[1] ?? {}];
    if (link.length !== 2) {
      const extra = { input_config, received_value: link };
      return invalid(inputError('bad_linked_input', name, name, extra));
    }
    const [from, slot] = link;
    const source = typeof from === 'string' ? this.#graph[from] : undefined;
    if (typeof from !== 'string' || source === undefined) throw keyError(from);
    const received = this.#catalog.classes.get(source.class_type)?.output.at(Number(slot));
    if (received === undefined) throw new PythonError('IndexError', 'tuple index out of range');
    if (!accepts(spec[0], received)) {
      const types = `received_type(${received}) mismatch input_type(${str(spec[0])})`;
      const extra = { input_config, received_type: received, linked_node: link };
      return invalid(inputError('return_type_mismatch', name, `${name}, ${types}`, extra));
    }
    try {
      const { isValid } = await this.#check(from);
      return { isValid, errors: [] };
    } catch (error) {
      const { type, message } = asPython(error);
      const inner = {
        type: 'exception_during_inner_validation',
        message: 'Exception when validating inner node',
        details: message,
        extra_info: {
          input_name: name,
          input_config,
          exception_message: message,
          exception_type: type,
          traceback: traceback(),
          linked_node: link,
        },
      };
      this.#verdicts.set(from, invalid(inner));
      return { isValid: false, errors: [] };
    }
  }

  /** A loader looks whether its file is there. */
  async #checkFiles(node: PromptNode): Promise<NodeError[]> {
    const complaints = await nodeClasses[node.class_type]?.validate?.(node.inputs, this.#folders);
    return Object.entries(complaints ?? {}).map(([name, reason]) =>
      inputError('custom_validation_failed', name, `${name} - ${reason}`),
    );
  }
}

function checkValue(
  node: PromptNode,
  name: string,
  spec: InputSpec,
  { checksNewCombos }: Catalog,
): NodeError | null {
  const [type, options = {}] = spec;
  const input_config = [type, options];
  const received_value = node.inputs[name];
  let value: unknown;
  try {
    value = convert(type, received_value);
  } catch (error) {
    const { message } = asPython(error);
    const details = `${name}, ${str(received_value)}, ${message}`;
    const extra = { input_config, received_value, exception_message: message };
    return {
      ...inputError('invalid_input_type', name, details, extra),
      message: `Failed to convert an input value to a ${str(type)} value`,
    };
  }
  node.inputs[name] = value;
  const extra = { input_config, received_value: value };
  if (options.min !== undefined && Number(value) < options.min) {
    return {
      ...inputError('value_smaller_than_min', name, name, extra),
      message: `Value ${printed(type, value)} smaller than min of ${printed(type, options.min)}`,
    };
  }
  if (options.max !== undefined && Number(value) > options.max) {
    return {
      ...inputError('value_bigger_than_max', name, name, extra),
      message: `Value ${printed(type, value)} bigger than max of ${printed(type, options.max)}`,
    };
  }
  // The loaders' own check speaks for their file lists.
  if (nodeClasses[node.class_type]?.validate !== undefined) return null;
  const choices = choicesOf(spec, checksNewCombos);
  if (choices === null || choices.includes(value)) return null;
  const isLong = choices.length > 20;
  const listed = isLong ? `(list of length ${choices.length})` : repr(choices);
  return inputError('value_not_in_list', name, `${name}: '${str(value)}' not in ${listed}`, {
    ...extra,
    input_config: isLong ? null : input_config,
  });
}

/** Before 0.33 a combo of the new kind is not checked: an unknown value fails when its node runs. */
function choicesOf([type, options]: InputSpec, checksNew: boolean): readonly unknown[] | null {
  if (typeof type !== 'string') return type;
  if (type !== 'COMBO' || !checksNew) return null;
  return Array.isArray(options?.options) ? options.options : [];
}

function convert(type: InputSpec[0], value: unknown): unknown {
  if (type === 'INT') return int(value);
  if (type === 'FLOAT') return float(value);
  if (type === 'STRING') return str(value);
  if (type === 'BOOLEAN') return bool(value);
  return value;
}

/** A float prints with its point, as in "bigger than max of 1.0". */
function printed(type: InputSpec[0], value: unknown): string {
  return type === 'FLOAT' && Number.isInteger(value) ? `${value}.0` : str(value);
}

function accepts(type: InputSpec[0], received: string): boolean {
  // Types that have to match each other are checked when the node runs.
  const isOpen = (each: unknown) => each === '*' || each === 'COMFY_MATCHTYPE_V3';
  if (isOpen(type) || isOpen(received)) return true;
  if (typeof type !== 'string') return received === 'COMBO';
  const wanted = type.split(',').map((each) => each.trim());
  return received.split(',').every((each) => wanted.includes(each.trim()));
}

function* inputsOf(
  { input }: Pick<ClassInfo, 'input'>,
  node: PromptNode,
  prefix = '',
): Generator<[string, InputSpec, boolean]> {
  for (const specs of [input.required, input.optional]) {
    for (const [ownName, spec] of Object.entries(specs ?? {})) {
      const name = `${prefix}${ownName}`;
      yield [name, spec, specs === input.required];
      const chosen = chosenOption(spec, node.inputs[name]);
      if (chosen) yield* inputsOf({ input: chosen }, node, `${name}.`);
    }
  }
}

/** A combo of the newest kind brings inputs of its own with each choice, and takes unknown ones. */
function chosenOption([type, options]: InputSpec, value: unknown): ClassInfo['input'] | null {
  if (type !== 'COMFY_DYNAMICCOMBO_V3') return null;
  const choices = options?.options as { key: string; inputs: ClassInfo['input'] }[] | undefined;
  return choices?.find(({ key }) => key === value)?.inputs ?? null;
}

function missingInput(name: string): NodeError {
  const ownName = name.slice(name.lastIndexOf('.') + 1);
  return inputError('required_input_missing', name, ownName);
}

const inputMessages: Readonly<Record<string, string>> = {
  required_input_missing: 'Required input is missing',
  bad_linked_input: 'Bad linked input, must be a length-2 list of [node_id, slot_index]',
  return_type_mismatch: 'Return type mismatch between linked nodes',
  value_not_in_list: 'Value not in list',
  custom_validation_failed: 'Custom validation failed for node',
};

function inputError(
  type: string,
  name: string,
  details: string,
  extra: Record<string, unknown> = {},
): NodeError {
  const message = inputMessages[type] ?? '';
  return { type, message, details, extra_info: { input_name: name, ...extra } };
}

function invalid(error: NodeError): Verdict {
  return { isValid: false, errors: [error] };
}

function refuse(type: string, message: string, details = ''): NodeError {
  return { type, message, details, extra_info: {} };
}

function asPython(error: unknown): PythonError {
  if (error instanceof PythonError) return error;
  throw error;
}

function traceback(): string[] {
  return ['  File "emulator/validate.ts", in validate_inputs\n'];
}
