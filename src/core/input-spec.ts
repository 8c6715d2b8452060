import type { Choice, NodeInput } from './node-catalogue.ts';

/** How a server writes down an input: `[type, settings]`, in `/object_info` and inside other inputs. */

/** A list stands for a choice among its values; what cannot be read, for anything. */
export function typeName(type: unknown): string {
  if (Array.isArray(type)) return 'COMBO';
  return typeof type === 'string' ? type : '*';
}

/** The values that an input may have: `[[…], {…}]` or `["COMBO", {"options": […]}]`; else `null`. */
export function choicesIn(
  type: unknown,
  settings: Readonly<Record<string, unknown>>,
): readonly Choice[] | null {
  if (Object.keys(settings).some((key) => isFilledElsewhere.test(key) && settings[key])) {
    return null;
  }
  const list: unknown = type === 'COMBO' ? settings.options : type;
  return Array.isArray(list) && list.every(isChoice) ? list : null;
}

function isChoice(value: unknown): value is Choice {
  return ['string', 'number', 'boolean'].includes(typeof value);
}

/** By an upload, or by the browser from another address. */
const isFilledElsewhere = /^(remote|remote_combo|.*upload)$/;

/** Inputs as they stand inside another input's settings: `{required: {…}, optional: {…}}`. */
export function nestedInputs(groups: unknown): NodeInput[] {
  const groupsOf = recordOf(groups);
  return (['required', 'optional'] as const).flatMap((group) =>
    Object.entries(recordOf(groupsOf[group])).map(([name, spec]) =>
      nestedInput(name, spec, group === 'required'),
    ),
  );
}

export function nestedInput(name: string, spec: unknown, isRequired: boolean): NodeInput {
  const [type, said] = Array.isArray(spec) ? spec : [];
  const settings = recordOf(said);
  return { name, type: typeName(type), isRequired, choices: choicesIn(type, settings), settings };
}

export function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  const isRecord = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isRecord ? (value as Record<string, unknown>) : {};
}
