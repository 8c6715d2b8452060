import type { NodeInput } from '../../core/node-catalogue.ts';
import { widgetAt } from './promoted-widgets.ts';
import type { Sheet, SheetNode } from './sheet.ts';
import { type NamedNodes, withValues } from './text.ts';
import { primitive } from './virtual-nodes.ts';
import { isMissing, type Widget } from './widgets.ts';

/** Writes the value of each primitive node into the widgets that it is linked to. */
export function applyPrimitives(sheets: readonly Sheet[], nodes: NamedNodes): void {
  for (const sheet of sheets) {
    for (const [origin, widgets] of fedBy(sheet)) {
      const [first] = widgets;
      const value = Array.isArray(origin.values) ? origin.values[0] : undefined;
      if (!first || isMissing(value)) continue;
      const isTemplate = origin.properties['Run widget replace on values'] === true;
      const text = isTemplate && typeof value === 'string' ? withValues(value, nodes) : value;
      const fitted = first.input ? fit(text, first.input) : text;
      for (const widget of widgets) widget.value = fitted;
    }
  }
}

/** The primitive nodes, each with the widgets that it is linked to. */
function fedBy({ nodes, links, ends }: Sheet): ReadonlyMap<SheetNode, readonly Widget[]> {
  const fed = [...ends].flatMap(([id, { node, input }]) => {
    const origin = nodes.get(links.get(id)?.origin ?? '');
    const widget = widgetAt(node, input);
    return origin?.type === primitive && widget ? [{ origin, widget }] : [];
  });
  const byOrigin = Map.groupBy(fed, ({ origin }) => origin);
  return new Map([...byOrigin].map(([origin, list]) => [origin, list.map(({ widget }) => widget)]));
}

/** A primitive node becomes a widget like the first that it feeds, with its limits and its steps. */
function fit(value: unknown, { type, settings }: NodeInput): unknown {
  if (typeof value !== 'number') return value;
  const min = numberOr(settings.min, Number.NEGATIVE_INFINITY);
  const max = numberOr(settings.max, Number.POSITIVE_INFINITY);
  const inRange = Math.min(Math.max(value, min), max);
  const step = numberOr(settings.step, 1) || 1;
  if (type === 'INT') {
    const offset = (Number.isFinite(min) ? min : 0) % step;
    return Math.round((inRange - offset) / step) * step + offset;
  }
  if (type !== 'FLOAT') return value;
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  const unit = numberOr(settings.round, 0) || (digits > 0 ? 10 ** -digits : 0);
  if (unit === 0) return inRange;
  const rounded = Number((Math.round(inRange / unit) * unit).toFixed(digits));
  return Math.min(Math.max(rounded, min), max);
}

function numberOr(value: unknown, otherwise: number): number {
  return typeof value === 'number' ? value : otherwise;
}
