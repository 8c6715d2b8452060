import { z } from 'zod';
import { isTooDeep } from '../../core/json-depth.ts';
import { emptyInput } from './node-form.ts';
import type { EditorNode } from './read.ts';
import type { Input, InputEnd, PromotedWidget, Sheet, SheetNode, SubgraphInput } from './sheet.ts';
import type { Widget } from './widgets.ts';

/**
 * The inputs of an instance of a subgraph. Those that lead to a widget inside show it as the instance's
 * own, and hold a value for it.
 */
export function hostInputs(saved: EditorNode, subgraph: Sheet): Input[] {
  const byName = new Map(saved.inputs.map((input) => [input.name, input]));
  const inputs = subgraph.inputs.map((slot) => {
    const { link = null, label = null } = byName.get(slot.name) ?? {};
    const promoted = promotedWidget(subgraph, slot);
    const input = emptyInput(slot.name, slot.type, null);
    return { ...input, link, label: label ?? slot.label, promoted };
  });
  const values = Array.isArray(saved.values) ? saved.values : [];
  const kept = keptValues(saved.properties.proxyWidgetErrorQuarantine);
  for (const [index, { name, promoted }] of inputs.filter(isPromoted).entries()) {
    const value = kept.has(name) ? kept.get(name) : values[index];
    if (value === undefined) continue;
    promoted.value = value === null ? (promoted.source.choices[0] ?? null) : value;
  }
  return inputs;
}

function isPromoted(input: Input): input is Input & { promoted: PromotedWidget } {
  return input.promoted !== null;
}

/** The widget that an input of a subgraph shows: that of the first link that leads to one. */
export function promotedWidget(subgraph: Sheet, slot: SubgraphInput): PromotedWidget | null {
  for (const { node, input } of endsOf(subgraph, slot)) {
    if (input.promoted) return { ...input.promoted };
    const source = widgetAt(node, input);
    if (source) return { value: source.value, source };
  }
  return null;
}

/** Where the links of an input of a subgraph end, inside. */
export function endsOf({ ends }: Sheet, slot: SubgraphInput): InputEnd[] {
  return slot.links.flatMap((id) => ends.get(id) ?? []);
}

export function widgetAt(node: SheetNode, { widget }: Input): Widget | undefined {
  return widget === null ? undefined : node.widgets.find(({ name }) => name === widget);
}

const keptValue = z.object({
  originalEntry: z.tuple([z.literal('-1'), z.string()]).rest(z.string()),
  hostValue: z.unknown(),
});

/** Values that an editor could not place, and kept for the inputs of these names. */
function keptValues(list: unknown): ReadonlyMap<string, unknown> {
  const entries = unquoted(list);
  return new Map(
    (Array.isArray(entries) ? entries : [])
      .flatMap((entry) => keptValue.safeParse(entry).data ?? [])
      .filter(({ hostValue }) => hostValue !== undefined && hostValue !== null)
      .map(({ originalEntry, hostValue }) => [originalEntry[1], hostValue] as const)
      .reverse(),
  );
}

/** Properties may be JSON inside a string. */
export function unquoted(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  if (isTooDeep(value)) return undefined;
  try {
    return JSON.parse(value);
  } catch {
    return undefined;
  }
}
