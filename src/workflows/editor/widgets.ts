import { nestedInputs } from '../../core/input-spec.ts';
import { dynamicCombo } from '../../core/live-inputs.ts';
import type { NodeInput } from '../../core/node-catalogue.ts';

/** A field of a node in the editor. */
export interface Widget {
  readonly name: string;
  value: unknown;
  /** Whether prompts have it: a button or a preview is only shown. */
  readonly isSent: boolean;
  /** Whether it has a place among the saved values. */
  readonly isSaved: boolean;
  /** What is taken for a missing choice; empty where that is not known. */
  readonly choices: readonly unknown[];
  /** The inputs that each of its choices brings along; `null` for a widget that brings none. */
  readonly branches: ReadonlyMap<unknown, readonly NodeInput[]> | null;
  /** What the server says of it; `null` for what only the editor adds. */
  readonly input: NodeInput | null;
}

/** Types whose inputs the editor shows as widgets: its own, and those that Video Helper Suite adds. */
const widgetTypes: ReadonlySet<string> = new Set([
  ...['INT', 'FLOAT', 'BOOLEAN', 'STRING', 'COMBO', 'MARKDOWN', 'TEXTAREA', 'COLOR', 'COLORS'],
  ...['BOUNDING_BOX', 'BOUNDING_BOXES', 'CURVE', 'RANGE', 'CHART', 'GALLERIA', 'IMAGECOMPARE'],
  ...['PAINTER', 'COMPOSITOR', 'VIDEO_EDIT', 'IMAGEUPLOAD', 'AUDIOUPLOAD', 'AUDIO_RECORD'],
  ...['WEBCAM', 'LOAD_3D', 'LOAD_3D_ADVANCED', 'PREVIEW_3D', dynamicCombo],
  ...['VHSPATH', 'VHSINT', 'VHSFLOAT', 'VHSTIMESTAMP'],
]);

/** Whether the editor shows a field for the input; else it only takes a link. */
export function hasWidget({ type, settings }: NodeInput): boolean {
  if (settings.forceInput) return false;
  return widgetTypes.has(type) || typeof settings.widgetType === 'string';
}

/** The input's widget, followed by those that come with it. */
export function widgetsFor(input: NodeInput): [Widget, ...Widget[]] {
  const type =
    typeof input.settings.widgetType === 'string' ? input.settings.widgetType : input.type;
  const main: Widget = {
    name: input.name,
    value: defaultOf(input, type),
    isSent: true,
    isSaved: type !== 'IMAGECOMPARE',
    choices: choicesOf(input),
    branches: type === dynamicCombo ? branchesOf(input) : null,
    input,
  };
  return [main, ...companions(input, type)];
}

/** A widget that holds its place among the saved values and goes no further. */
export function editorOnly(name: string): Widget {
  return {
    name,
    value: null,
    isSent: false,
    isSaved: true,
    choices: [],
    branches: null,
    input: null,
  };
}

function companions({ name, settings }: NodeInput, type: string): Widget[] {
  const control = settings.control_after_generate;
  switch (type) {
    case 'INT':
      return (control ?? ['seed', 'noise_seed'].includes(name))
        ? [editorOnly('control_after_generate')]
        : [];
    case 'FLOAT':
      return control ? [editorOnly('control_after_generate')] : [];
    case 'COMBO': {
      const filter = editorOnly('control_filter_list');
      return [
        ...refreshing(settings.remote),
        ...(control ? [editorOnly('control_after_generate'), filter] : []),
      ];
    }
    case 'BOUNDING_BOX':
      return ['x', 'y', 'width', 'height'].map(editorOnly);
    default:
      return [];
  }
}

/** Choices that the browser fetches may be fetched again. */
function refreshing(remote: unknown): Widget[] {
  if (!isRecord(remote)) return [];
  const button = { ...editorOnly('refresh'), value: 'refresh', isSent: true };
  return [editorOnly('Auto-refresh after generation'), ...(remote.refresh_button ? [button] : [])];
}

function choicesOf({ choices, settings }: NodeInput): readonly unknown[] {
  if (choices) return choices;
  const options = Array.isArray(settings.options) ? settings.options : [];
  return options.map((option) => (isRecord(option) ? option.key : option));
}

/** What a new node has. */
function defaultOf(input: NodeInput, type: string): unknown {
  const { default: given, multi_select: isMultiple, options } = input.settings;
  switch (type) {
    case 'COMBO':
      return isMultiple ? [] : given || choicesOf(input)[0];
    case dynamicCombo:
      return choicesOf(input)[0];
    case 'INT':
    case 'FLOAT':
    case 'VHSINT':
    case 'VHSFLOAT':
    case 'VHSTIMESTAMP':
      return given ?? 0;
    case 'BOOLEAN':
      return given ?? false;
    case 'COLOR':
      return given ?? (isRecord(options) ? options.default : undefined) ?? '#000000';
    case 'COLORS':
    case 'BOUNDING_BOXES':
      return given ?? [];
    case 'BOUNDING_BOX':
      return given ?? { x: 0, y: 0, width: 512, height: 512 };
    case 'IMAGECOMPARE':
      return ['', ''];
    default:
      return given ?? '';
  }
}

function branchesOf({ settings }: NodeInput): ReadonlyMap<unknown, readonly NodeInput[]> {
  const options = Array.isArray(settings.options) ? settings.options.filter(isRecord) : [];
  return new Map(options.map(({ key, inputs }) => [key, nestedInputs(inputs)]));
}

/** Whether the editor takes it for no value. */
export function isMissing(value: unknown): value is null | undefined {
  return value === null || value === undefined;
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
