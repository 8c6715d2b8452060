import type { NodeCatalogue } from '../../core/node-catalogue.ts';
import { labelOf } from '../../core/node-label.ts';
import { invalid } from '../../core/workflow.ts';
import { NodeForm } from './node-form.ts';
import { hostInputs } from './promoted-widgets.ts';
import { adoptProxyWidgets } from './proxy-widgets.ts';
import type { EditorFile, EditorNode, EditorSheet, EditorSubgraph } from './read.ts';
import { type Input, maxSlots, type NodeKind, type Sheet, type SheetNode } from './sheet.ts';
import { isVirtual } from './virtual-nodes.ts';

/**
 * The file's own canvas, with what the editor would show on it.
 *
 * @throws GatewayError `workflow_invalid`
 */
export function buildSheets(file: EditorFile, catalogue: NodeCatalogue): Sheet {
  const builder = new SheetBuilder(catalogue);
  for (const subgraph of leafFirst(file.subgraphs)) builder.define(subgraph);
  return builder.build(file, null);
}

/** Subgraphs in such an order that each comes behind those that it contains, as the editor has it. */
function leafFirst(subgraphs: readonly EditorSubgraph[]): EditorSubgraph[] {
  const byId = new Map<string, EditorSubgraph>();
  for (const subgraph of subgraphs) {
    if (byId.has(subgraph.id))
      throw invalid(`The subgraph "${subgraph.name}" is in the file twice`);
    byId.set(subgraph.id, subgraph);
  }
  const containers = new Map(subgraphs.map(({ id }) => [id, new Set<EditorSubgraph>()]));
  const missing = new Map<string, number>();
  for (const subgraph of subgraphs) {
    const inner = new Set(subgraph.nodes.map(({ type }) => type).filter((type) => byId.has(type)));
    for (const id of inner) containers.get(id)?.add(subgraph);
    missing.set(subgraph.id, inner.size);
  }
  const ready = subgraphs.filter(({ id }) => missing.get(id) === 0);
  // Those that become ready on the way are looked at as well.
  for (const { id } of ready) {
    for (const container of containers.get(id) ?? []) {
      const left = (missing.get(container.id) ?? 0) - 1;
      missing.set(container.id, left);
      if (left === 0) ready.push(container);
    }
  }
  const endless = subgraphs.find(({ id }) => missing.get(id) !== 0);
  if (endless) throw invalid(`The subgraph "${endless.name}" contains itself`);
  return ready;
}

/** An output that has the type of what is linked to an input. */
const matchType = 'COMFY_MATCHTYPE_V3';

class SheetBuilder {
  readonly #catalogue: NodeCatalogue;
  readonly #subgraphs = new Map<string, { readonly name: string; readonly sheet: Sheet }>();

  constructor(catalogue: NodeCatalogue) {
    this.#catalogue = catalogue;
  }

  define(subgraph: EditorSubgraph): void {
    const sheet = this.build(subgraph, subgraph);
    this.#subgraphs.set(subgraph.id, { name: subgraph.name, sheet });
  }

  build(file: EditorSheet, frame: EditorSubgraph | null): Sheet {
    if (frame && frame.inputs.length > maxSlots) {
      throw invalid(`The subgraph "${frame.name}" has more than ${maxSlots} inputs`);
    }
    const sheet: Sheet = {
      nodes: new Map(),
      links: new Map(file.links.map((link) => [link.id, link])),
      showsAll: file.unseenLinks !== null,
      inputs: (frame?.inputs ?? []).map((slot) => ({ ...slot, links: [...slot.links] })),
      outputs: frame?.outputs ?? [],
      hosts: [],
      ends: new Map(),
      adopted: new Map(),
    };
    for (const saved of file.nodes) {
      if (sheet.nodes.has(saved.id)) {
        throw invalid(`${describeSaved(saved)}: another node has the same id`);
      }
      sheet.nodes.set(saved.id, this.#node(saved));
    }
    for (const node of sheet.nodes.values()) {
      for (const input of node.inputs) noteEnd(sheet, node, input);
    }
    for (const node of sheet.nodes.values()) adoptProxyWidgets(node);
    return sheet;
  }

  #node(saved: EditorNode): SheetNode {
    const nodeClass = this.#catalogue.get(saved.type);
    const { name = null, sheet: subgraph = null } = this.#subgraphs.get(saved.type) ?? {};
    const { id, type, mode, values, properties } = saved;
    const common = { id, type, mode, values, properties, subgraph };
    if (subgraph) {
      const node: SheetNode = {
        ...common,
        title: saved.title ?? (name || type),
        kind: 'subgraph',
        inputs: hostInputs(saved, subgraph),
        outputs: subgraph.outputs,
        widgets: [],
      };
      subgraph.hosts.push(node);
      return node;
    }
    const kind: NodeKind = isVirtual(type) ? 'virtual' : nodeClass ? 'class' : 'unknown';
    if (kind !== 'class' || !nodeClass) {
      const inputs = saved.inputs.map((input) => ({ ...input, promoted: null }));
      const title = saved.title ?? type;
      return { ...common, title, kind, inputs, outputs: saved.outputs, widgets: [] };
    }
    const { inputs, widgets } = new NodeForm(nodeClass, saved);
    return {
      ...common,
      title: saved.title ?? (nodeClass.displayName || nodeClass.name),
      kind,
      inputs,
      outputs: [
        ...nodeClass.outputs.map(({ type }) => ({ type: type === matchType ? '*' : type })),
        ...saved.outputs.slice(nodeClass.outputs.length),
      ],
      widgets,
    };
  }
}

function noteEnd({ links, ends }: Sheet, node: SheetNode, input: Input): void {
  if (input.link === null || ends.has(input.link)) return;
  if (links.get(input.link)?.target === node.id) ends.set(input.link, { node, input });
}

function describeSaved({ id, type, title }: EditorNode): string {
  return labelOf(id, { class_type: type, inputs: {}, ...(title ? { _meta: { title } } : {}) });
}
