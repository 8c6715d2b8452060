import { nestedInput } from '../../core/input-spec.ts';
import type { EditorNode } from './read.ts';
import { isRecord, type Widget, widgetsFor } from './widgets.ts';

/**
 * ComfyUI-VideoHelperSuite saves the values of its nodes by name, and shows further widgets for the
 * format that is chosen.
 */
export function isVideoHelper(className: string): boolean {
  return className.startsWith('VHS_');
}

/** Its first versions saved lists; these are the names of what they held. `null`: a button. */
const ofVideo = [
  ...['video', 'force_rate', 'force_size', 'frame_load_cap'],
  ...['skip_first_frames', 'select_every_nth'],
];
const ofImages = ['image_load_cap', 'skip_first_images', 'select_every_nth'];
const ofCombine = ['frame_rate', 'loop_count', 'filename_prefix', 'format', 'pingpong'];
const listedNames: ReadonlyMap<string, readonly (string | null)[]> = new Map([
  ['VHS_LoadImages', ['directory', null, ...ofImages]],
  ['VHS_LoadImagesPath', ['directory', ...ofImages]],
  ['VHS_VideoCombine', [...ofCombine, 'save_output']],
  ['VHS_LoadVideo', ofVideo],
  ['VHS_LoadVideoPath', ofVideo],
]);

/** By widget; `null` where a list says nothing of which each value is for. */
export function namedValues(
  className: string,
  saved: EditorNode['values'],
): ReadonlyMap<string, unknown> | null {
  const values = Array.isArray(saved) ? listed(className, saved) : new Map(Object.entries(saved));
  if (values === null || !isVideoHelper(className)) return values;
  if (values.has('save_image') && !values.has('save_output')) {
    values.set('save_output', values.get('save_image'));
  }
  for (const [name, value] of formerSize(values.get('force_size'))) values.set(name, value);
  return values;
}

function listed(className: string, saved: readonly unknown[]): Map<string, unknown> | null {
  const names = listedNames.get(className);
  if (!names || saved.length < names.length) return null;
  return new Map(names.flatMap((name, index) => (name === null ? [] : [[name, saved[index]]])));
}

/** Width and height used to be one choice: `512x?`, `Disabled`, `Custom Width`. */
function formerSize(size: unknown): [string, number][] {
  if (typeof size !== 'string') return [];
  const [width, height] = size.split('x');
  if (height !== undefined) {
    const pixels = (side: string | undefined) => Number.parseInt(side ?? '', 10) || 0;
    return [
      ['custom_width', pixels(width)],
      ['custom_height', pixels(height)],
    ];
  }
  const isOff = (side: string) => size === 'Disabled' || size === `Custom ${side}`;
  return [
    ...(isOff('Height') ? [['custom_width', 0] satisfies [string, number]] : []),
    ...(isOff('Width') ? [['custom_height', 0] satisfies [string, number]] : []),
  ];
}

/** The widgets that the chosen format brings along. */
export function formatWidgets({ value, input }: Widget): Widget[] {
  const formats = input?.settings.formats;
  const chosen = isRecord(formats) && typeof value === 'string' ? formats[value] : null;
  // Formats for loading say what sizes suit a model, and bring no widgets.
  if (!Array.isArray(chosen)) return [];
  return chosen.flatMap((entry: unknown) => {
    if (!Array.isArray(entry) || typeof entry[0] !== 'string') return [];
    const [name, ...spec] = entry;
    return widgetsFor(nestedInput(name, spec, true)).slice(0, 1);
  });
}
