import { cutText } from './cut-text.ts';
import { type Graph, type GraphNode, isLink } from './graph.ts';
import { nearest } from './nearest.ts';
import type { Choice, NodeCatalogue, NodeClass, NodeInput } from './node-catalogue.ts';
import { labelOf } from './node-label.ts';
import { pythonEquals, pythonNumber } from './python-values.ts';

/**
 * What ComfyUI would find wrong with one input of a node, in words that follow the node's name; `null`
 * where it would find nothing or where that cannot be told.
 */
export function inputFault(
  graph: Graph,
  catalogue: NodeCatalogue,
  id: string,
  input: NodeInput,
): string | null {
  const { class_type: className, inputs } = graph[id] as GraphNode;
  if (!Object.hasOwn(inputs, input.name)) {
    return input.isRequired ? `lacks its input ${input.name}` : null;
  }
  const value = inputs[input.name];
  // Every list is taken for a link; one that is a value is wrapped.
  if (Array.isArray(value)) return linkFault(graph, catalogue, className, input, value);
  return valueFault(className, input, unwrapped(value));
}

function linkFault(
  graph: Graph,
  catalogue: NodeCatalogue,
  className: string,
  input: NodeInput,
  link: readonly unknown[],
): string | null {
  const source = isLink(link) && Object.hasOwn(graph, link[0]) ? graph[link[0]] : undefined;
  if (!isLink(link) || !source) return `has a link to nowhere as its ${input.name}`;
  const sourceClass = catalogue.get(source.class_type);
  if (!sourceClass) return null;
  const [from, index] = link;
  const output = sourceClass.outputs.at(index);
  if (!output) {
    // Some classes have more outputs than they tell, all of any type.
    if (sourceClass.outputs.some(({ type }) => isAnything(type))) return null;
    const count = sourceClass.outputs.length;
    return `takes its ${input.name} from output ${index} of ${labelOf(from, source)}, which has ${count}`;
  }
  if (fits(output.type, input.type)) return null;
  if (isJudgedElsewhere(sourceClass, className, output.type, input.type)) return null;
  return `needs ${input.type} as its ${input.name}, but ${labelOf(from, source)} gives ${output.type}`;
}

/** ComfyUI's rule: one type in common is enough. */
function fits(given: string, wanted: string): boolean {
  if (isAnything(given) || isAnything(wanted)) return true;
  const types = typesOf(wanted);
  return typesOf(given).some((type) => types.includes(type));
}

/** Whatever comes: the browser cares for it, not the server. */
function isAnything(type: string): boolean {
  return type === 'COMFY_MATCHTYPE_V3' || typesOf(type).includes('*');
}

function typesOf(type: string): string[] {
  return type.split(',').map((each) => each.trim());
}

/** Video Helper Suite has types that equal more than their names say. */
const alikeTypes: readonly (readonly string[])[] = [
  ['IMAGE', 'LATENT'],
  ['FLOAT', 'INT'],
];

/** Classes that look themselves at the types of what is linked to them. */
const typeCheckers: ReadonlySet<string> = new Set(['TripoConversionNode', 'VHS_Unbatch']);

function isJudgedElsewhere(from: NodeClass, to: string, given: string, wanted: string): boolean {
  if (typeCheckers.has(to)) return true;
  if (!from.name.startsWith('VHS_') && !to.startsWith('VHS_')) return false;
  return alikeTypes.some((types) => types.includes(given) && types.includes(wanted));
}

function valueFault(className: string, input: NodeInput, value: unknown): string | null {
  const { name, type } = input;
  const isNumber = type === 'INT' || type === 'FLOAT';
  const converted = isNumber ? pythonNumber(value, type) : value;
  if (converted === undefined)
    return `needs a number (${type}) as its ${name}, not ${shown(value)}`;
  if (checksItself(className, name)) return null;
  return rangeFault(input, converted) ?? (type === 'COMBO' ? choiceFault(input, value) : null);
}

function rangeFault({ name, settings: { min, max } }: NodeInput, value: unknown): string | null {
  if (typeof value !== 'number') return null;
  if (typeof min === 'number' && value < min) return `has ${name} ${value}, less than ${min}`;
  if (typeof max === 'number' && value > max) return `has ${name} ${value}, more than ${max}`;
  return null;
}

function choiceFault({ name, settings, choices }: NodeInput, value: unknown): string | null {
  if (choices === null) return null;
  const values = settings.multiselect === true && Array.isArray(value) ? value : [value];
  const absent = values.find((each) => !choices.some((choice) => pythonEquals(each, choice)));
  return absent === undefined ? null : `has no ${name} ${shown(absent)}${alike(absent, choices)}`;
}

const maxAlike = 3;

function alike(absent: unknown, choices: readonly Choice[]): string {
  const names = nearest(String(absent), choices.map(String), maxAlike);
  return names.length === 0
    ? ''
    : `; it has ${names.map((each) => JSON.stringify(each)).join(', ')}`;
}

const maxShown = 120;

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > maxShown ? `${cutText(text, maxShown)}…` : text;
}

/** `{"__value__": …}` is how the editor writes a list that is no link. */
function unwrapped(value: unknown): unknown {
  const isWrapped = typeof value === 'object' && value !== null && '__value__' in value;
  return isWrapped ? value.__value__ : value;
}

/**
 * Classes that look at values themselves (`VALIDATE_INPUTS`) instead of ComfyUI: at those of the
 * inputs named here, or at all. A server does not tell of them, so the known ones are listed.
 */
const valueCheckers: Readonly<Record<string, readonly string[] | 'all'>> = {
  CustomCombo: 'all',
  FluxProUltraImageNode: ['aspect_ratio'],
  ImageReceiver: ['image', 'link_id'],
  LatentReceiver: ['latent', 'link_id'],
  Load3D: 'all',
  Load3DAdvanced: 'all',
  ModelAttentionBackend: ['attention'],
  SelectCLIPDevice: ['device'],
  SelectModelDevice: ['device'],
  SelectVAEDevice: ['device'],
  VHS_LoadAudio: 'all',
  VHS_LoadAudioUpload: 'all',
  VHS_LoadImages: 'all',
  VHS_LoadImagesPath: 'all',
};

function checksItself(className: string, field: string): boolean {
  const fields = Object.hasOwn(valueCheckers, className) ? valueCheckers[className] : undefined;
  return fields === 'all' || fields?.includes(field) === true;
}
