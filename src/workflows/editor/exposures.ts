import { checkName } from '../../core/bindings/titles.ts';
import type { Exposure } from '../../core/bindings/wishes.ts';
import { invalid } from '../../core/workflow.ts';
import type { Place } from './places.ts';
import { describe } from './sheet.ts';
import { primitive } from './virtual-nodes.ts';

/** An Asian keyboard writes a wide colon. */
const param = /(?<![A-Za-z0-9_])@param[:：]([^\s,;，；]*)/gi;

/** What a label or a title calls a widget, for tasks. */
export function paramNames(label: string): string[] {
  return [...label.matchAll(param)].map(([, name = '']) => name);
}

/**
 * Looks that every name that somebody wrote is one, and that there is something to set by it.
 *
 * @throws GatewayError `workflow_invalid`
 */
export function checkExposures(places: Iterable<Place>, exposures: readonly Exposure[]): void {
  const exposed = new Set(exposures.map(({ name }) => name));
  for (const { id, node } of places) {
    const labels = node.inputs.map(({ label }) => label ?? '');
    if (node.type === primitive) labels.push(node.title);
    for (const name of labels.flatMap(paramNames)) {
      const where = describe(node, id);
      checkName(name, `${where}: @param:${name}`);
      if (!exposed.has(name)) {
        throw invalid(
          `${where}: @param:${name} stands at no value that can be set; its widget is linked, or its node is not sent`,
        );
      }
    }
  }
}
