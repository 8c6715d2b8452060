import { paramNames } from './exposures.ts';
import { type Source, sourceOf } from './links.ts';
import type { Place } from './places.ts';
import { bypassed, muted, type SheetNode } from './sheet.ts';
import { type NamedNodes, withoutChoices, withValues } from './text.ts';
import type { Widget } from './widgets.ts';

/**
 * Muted and bypassed nodes are not sent. An instance on the file's own canvas takes its inner nodes
 * along; one inside another does not, as the editor has it.
 */
export function isActive(place: Place): boolean {
  return [place, outermost(place)].every(
    ({ node: { mode } }) => mode !== muted && mode !== bypassed,
  );
}

function outermost(place: Place): Place {
  let outer = place;
  while (outer.host) outer = outer.host;
  return outer;
}

/** An input of a node of the prompt. */
export interface Field {
  readonly name: string;
  readonly value: unknown;
  /** The names under which its operator wants it to be chosen by tasks. */
  readonly params: readonly string[];
}

/**
 * What the editor sends for a node, in its order: the widgets, then what is linked.
 *
 * @throws GatewayError `workflow_invalid`
 */
export function fieldsOf(
  places: ReadonlyMap<string, Place>,
  place: Place,
  nodes: NamedNodes,
): Field[] {
  const fields = new Map<string, Field>();
  for (const widget of place.node.widgets) {
    if (!widget.isSent || widget.value === undefined) continue;
    const value = wrapped(sentValue(widget, place.node, nodes), widget);
    fields.set(widget.name, { name: widget.name, value, params: [] });
  }
  for (const [slot, input] of place.node.inputs.entries()) {
    const source = sourceOf(places, place, slot);
    const known = fields.get(input.name);
    const value = source.kind === 'nothing' ? known?.value : linkedValue(source);
    if (value === undefined) continue;
    // What a link brings is nobody's to choose.
    const labels = source.kind === 'output' ? [] : [input.label ?? '', ...source.labels];
    fields.set(input.name, { name: input.name, value, params: labels.flatMap(paramNames) });
  }
  return [...fields.values()];
}

function linkedValue(source: Exclude<Source, { readonly kind: 'nothing' }>): unknown {
  return source.kind === 'output' ? source.link : wrapped(source.value, null);
}

/** A bare list would be taken for a link. */
function wrapped(value: unknown, widget: Widget | null): unknown {
  if (!Array.isArray(value)) return value;
  const isCurve = widget?.input?.type === 'CURVE';
  return { ...(isCurve ? { __type__: 'CURVE' } : {}), __value__: value };
}

function sentValue(
  { name, value, input }: Widget,
  { type }: SheetNode,
  nodes: NamedNodes,
): unknown {
  if (typeof value !== 'string') return value;
  if (name === 'filename_prefix' && namesFilesByWidgets.has(type)) return withValues(value, nodes);
  return input?.settings.dynamicPrompts === true ? withoutChoices(value) : value;
}

const namesFilesByWidgets: ReadonlySet<string> = new Set([
  ...['SaveImage', 'SaveImageAdvanced', 'SaveAnimatedPNG', 'SaveAnimatedWEBP', 'SaveSVGNode'],
  ...['SaveVideo', 'SaveWEBM', 'SaveAudio', 'SaveAudioMP3', 'SaveAudioOpus', 'SaveAudioAdvanced'],
  ...['SaveGLB', 'Save3DAdvanced', 'SaveGaussianSplat', 'SavePointCloud', 'SaveLatent'],
  ...['CLIPSave', 'VAESave', 'ModelSave', 'LoraSave', 'VHS_VideoCombine'],
]);
