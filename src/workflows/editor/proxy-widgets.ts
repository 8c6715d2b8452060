import { z } from 'zod';
import { invalid } from '../../core/workflow.ts';
import { emptyInput } from './node-form.ts';
import { endsOf, promotedWidget, unquoted, widgetAt } from './promoted-widgets.ts';
import { subgraphInputs } from './read.ts';
import { type Input, type InputEnd, maxSlots, type Sheet, type SheetNode } from './sheet.ts';
import { primitive } from './virtual-nodes.ts';

/**
 * Before instances of subgraphs had inputs for the widgets that they show, they only listed them, in
 * `proxyWidgets`. What such a list names gets its input here, as the editor does it on loading.
 */
export function adoptProxyWidgets(host: SheetNode): void {
  const { subgraph } = host;
  if (!subgraph) return;
  const values = Array.isArray(host.values) ? host.values : [];
  const listed = proxyWidgetsOf(host.properties.proxyWidgets, values);
  if (listed.length === 0) return;
  const adoption = new Adoption(host, subgraph);
  const isOfPrimitive = ({ nodeId }: ProxyWidget): boolean =>
    subgraph.nodes.get(nodeId)?.type === primitive;
  for (const proxy of listed.filter((each) => !isOfPrimitive(each))) adoption.adopt(proxy);
  const ofPrimitives = Map.groupBy(listed.filter(isOfPrimitive), ({ nodeId }) => nodeId);
  for (const proxies of ofPrimitives.values()) adoption.adoptPrimitive(proxies);
  const byName = new Map(host.inputs.map((input) => [input.name, input]));
  for (const { nodeId, widget, value } of listed) {
    if (nodeId === '-1') setValue(byName.get(widget), value);
  }
}

/** One line of the list: the node inside, its widget, and the value that the instance holds. */
interface ProxyWidget {
  readonly nodeId: string;
  readonly widget: string;
  /** The node further inside, where that is itself an instance. */
  readonly innerId: string | null;
  /** `undefined` for none. */
  readonly value: unknown;
}

function setValue(input: Input | undefined, value: unknown): void {
  if (input?.promoted && value !== undefined) input.promoted.value = value;
}

class Adoption {
  readonly #host: SheetNode;
  readonly #subgraph: Sheet;
  /** Where the subgraph's inputs lead first; `null` when that has changed. */
  #known: ReadonlyMap<string, number> | null = null;

  constructor(host: SheetNode, subgraph: Sheet) {
    this.#host = host;
    this.#subgraph = subgraph;
  }

  adopt(listed: ProxyWidget): void {
    const proxy = withoutPrefixes(this.#subgraph, listed);
    const index = this.#indexFor(proxy);
    if (index !== null) setValue(this.#host.inputs[index], proxy.value);
  }

  /** An input of the subgraph takes over what the primitive node feeds. */
  adoptPrimitive(proxies: readonly ProxyWidget[]): void {
    const proxy = proxies.find(({ value }) => value !== undefined) ?? proxies[0];
    if (!proxy) return;
    const { adopted, nodes, links, ends } = this.#subgraph;
    let index = adopted.get(proxy.nodeId);
    if (index === undefined) {
      const fed = [...ends]
        .filter(([id, { input }]) => links.get(id)?.origin === proxy.nodeId && input.link === id)
        .map(([, end]) => end);
      if (fed.length === 0) return;
      const title = nodes.get(proxy.nodeId)?.title;
      index = this.#link(title && title !== primitive ? title : proxy.widget, fed);
      adopted.set(proxy.nodeId, index);
    }
    setValue(this.#host.inputs[index], proxy.value);
  }

  /** The input for a widget inside, made where there is none yet. */
  #indexFor(proxy: ProxyWidget): number | null {
    const { nodes, inputs } = this.#subgraph;
    this.#known ??= new Map(
      inputs.map((_, index) => [keyOf(firstOf(this.#subgraph, index)), index] as const).reverse(),
    );
    const known = this.#known.get(keyOf({ nodeId: proxy.nodeId, widget: proxy.widget }));
    if (known !== undefined) return known;
    const node = nodes.get(proxy.nodeId);
    const input = node && inputFor(node, proxy);
    return node && input ? this.#link(proxy.widget, [{ node, input }]) : null;
  }

  /** @returns The index of the new input, in the subgraph and in each of its instances. */
  #link(wanted: string, fed: readonly InputEnd[]): number {
    const { inputs, links, ends, hosts } = this.#subgraph;
    const index = inputs.length;
    if (index >= maxSlots) throw invalid(`A subgraph shows more than ${maxSlots} widgets`);
    const taken = new Set(inputs.map(({ name }) => name));
    let name = wanted;
    for (let number = 1; taken.has(name); number++) name = `${wanted}_${number}`;
    const ids = fed.map((end, position) => {
      const id = `shown-${index}-${position}`;
      links.set(id, { id, origin: subgraphInputs, originSlot: index, target: end.node.id });
      ends.set(id, end);
      this.#unlink(end.input);
      end.input.link = id;
      return id;
    });
    const { type = '*', label = null } = fed[0]?.input ?? {};
    const slot = { name, type, label, links: ids };
    inputs.push(slot);
    const promoted = promotedWidget(this.#subgraph, slot);
    for (const host of hosts) {
      const input = emptyInput(name, type, null);
      host.inputs.push({ ...input, label, promoted: promoted && { ...promoted } });
    }
    this.#known = null;
    return index;
  }

  /** An input of the subgraph that leads to no widget any more shows none. */
  #unlink({ link: id }: Input): void {
    const { inputs, links, ends, hosts } = this.#subgraph;
    const link = id === null ? undefined : links.get(id);
    if (!link) return;
    ends.delete(link.id);
    const slot = link.origin === subgraphInputs ? inputs[link.originSlot] : undefined;
    if (!slot || promotedWidget(this.#subgraph, slot)) return;
    for (const host of hosts) {
      const input = host.inputs[link.originSlot];
      if (input) input.promoted = null;
    }
  }
}

interface Place {
  readonly nodeId: string;
  readonly widget: string;
}

function keyOf(place: Place | null): string {
  return place ? `${place.nodeId} ${place.widget}` : '';
}

/** What an input of a subgraph leads to first. */
function firstOf(subgraph: Sheet, index: number): Place | null {
  const slot = subgraph.inputs[index];
  for (const { node, input } of slot ? endsOf(subgraph, slot) : []) {
    const widget = node.kind === 'subgraph' ? input.name : widgetAt(node, input)?.name;
    if (widget !== undefined) return { nodeId: node.id, widget };
  }
  return null;
}

function inputFor(node: SheetNode, { widget, innerId }: ProxyWidget): Input | undefined {
  const { subgraph } = node;
  if (!subgraph) {
    return node.inputs.find((input) => input.widget === widget && widgetAt(node, input));
  }
  const shown = node.inputs.filter(({ promoted }) => promoted);
  const isMeant = (input: Input): boolean => {
    const inside = firstOf(subgraph, node.inputs.indexOf(input));
    if (innerId !== null) return inside?.widget === widget && inside.nodeId === innerId;
    return input.name === widget || inside?.widget === widget;
  };
  return shown.find(isMeant) ?? shown.find(({ name }) => name === widget);
}

/** Old lists name a widget deeper inside as `12: 7: seed`. */
function withoutPrefixes(subgraph: Sheet, proxy: ProxyWidget): ProxyWidget {
  if (leadsToWidget(subgraph, proxy)) return proxy;
  const [, prefixes = '', widget = proxy.widget] =
    /^((?:\s*\d+\s*:\s*)*)(.+)$/s.exec(proxy.widget) ?? [];
  return { ...proxy, widget, innerId: prefixes.match(/\d+/g)?.at(-1) ?? proxy.innerId };
}

function leadsToWidget(subgraph: Sheet, place: Place): boolean {
  let [sheet, { nodeId, widget }] = [subgraph, place];
  // Subgraphs do not contain themselves, so this ends.
  for (;;) {
    const node = sheet.nodes.get(nodeId);
    if (!node?.subgraph) return node?.widgets.some(({ name }) => name === widget) ?? false;
    const index = node.subgraph.inputs.findIndex(({ name }) => name === widget);
    const inside = firstOf(node.subgraph, index);
    if (!inside) return false;
    [sheet, { nodeId, widget }] = [node.subgraph, inside];
  }
}

const line = z.union([
  z.tuple([z.string(), z.string(), z.string()]),
  z.tuple([z.string(), z.string()]),
]);

function proxyWidgetsOf(list: unknown, values: readonly unknown[]): ProxyWidget[] {
  const lines = z.array(line).safeParse(unquoted(list)).data ?? [];
  return lines.map(([nodeId, widget, innerId = null], index) => ({
    nodeId,
    widget,
    innerId,
    value: values[index] ?? undefined,
  }));
}
