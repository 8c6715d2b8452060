import { z } from 'zod';
import { misfitWords } from '../../core/misfit.ts';
import { invalid } from '../../core/workflow.ts';

/**
 * A graph as the editor saves it. Only what decides what is sent to the server is read; sizes, colours,
 * groups and what extensions add are let through unseen.
 */
export interface EditorFile extends EditorSheet {
  readonly subgraphs: readonly EditorSubgraph[];
  /** The highest id that the editor has given to a node. */
  readonly lastNodeId: number;
}

/** The nodes of one canvas, and what runs between them. */
export interface EditorSheet {
  readonly nodes: readonly EditorNode[];
  readonly links: readonly EditorLink[];
  /** What nodes of "Anything Everywhere" link without showing it; `null` where the file does not say. */
  readonly unseenLinks: readonly UnseenLink[] | null;
}

export interface UnseenLink {
  readonly origin: string;
  readonly originSlot: number;
  /** A node, or `subgraphOutputs` for the frame of a subgraph. */
  readonly target: string;
  /** Among the inputs of the target, as the file lists them. */
  readonly targetSlot: number;
}

/** What instances of a subgraph show; an instance is a node whose type is the subgraph's id. */
export interface EditorSubgraph extends EditorSheet {
  readonly id: string;
  readonly name: string;
  readonly inputs: readonly EditorSubgraphSlot[];
  readonly outputs: readonly EditorSubgraphSlot[];
}

export interface EditorSubgraphSlot {
  readonly name: string;
  readonly type: string;
  readonly label: string | null;
  /** The first is what an output carries. */
  readonly links: readonly string[];
}

export interface EditorNode {
  readonly id: string;
  readonly type: string;
  /** `null` where the operator gave none. */
  readonly title: string | null;
  readonly mode: number;
  readonly inputs: readonly EditorInput[];
  readonly outputs: readonly EditorOutput[];
  /** In the order of the widgets; some custom nodes save them by name. */
  readonly values: readonly unknown[] | Readonly<Record<string, unknown>>;
  readonly properties: Readonly<Record<string, unknown>>;
}

export interface EditorInput {
  readonly name: string;
  readonly type: string;
  /** The id of the link that ends here. */
  readonly link: string | null;
  readonly label: string | null;
  /** The name of the widget that the input stands beside. */
  readonly widget: string | null;
}

export interface EditorOutput {
  readonly type: string;
}

export interface EditorLink {
  readonly id: string;
  /** The node where it begins; `subgraphInputs` for the frame of a subgraph. */
  readonly origin: string;
  readonly originSlot: number;
  readonly target: string;
}

/** Stands for a node in the links that begin at an input of the subgraph itself. */
export const subgraphInputs = '-10';
/** Stands for one in links that end at an output of the subgraph itself. */
export const subgraphOutputs = '-20';

/** @throws GatewayError `workflow_invalid` */
export function readEditorFile(file: object): EditorFile {
  const parsed = editorFile.safeParse(file, { error: misfitWords });
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw invalid(
      `The file is not what ComfyUI's editor saves: ${issue?.path.join('.') || 'it'}: ${issue?.message}`,
    );
  }
  const { nodes, links, extra, definitions, last_node_id, state } = parsed.data;
  return {
    nodes,
    links,
    unseenLinks: extra,
    subgraphs: allSubgraphs(definitions?.subgraphs ?? []),
    lastNodeId: last_node_id ?? state?.lastNodeId ?? 0,
  };
}

/** A subgraph may bring definitions of its own. */
function allSubgraphs(top: readonly ParsedSubgraph[]): EditorSubgraph[] {
  const found: EditorSubgraph[] = [];
  const left = [...top];
  // What is added on the way is looked at as well.
  for (const next of left) {
    const parsed = subgraph.safeParse(next, { error: misfitWords });
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw invalid(`A subgraph of the file: ${issue?.path.join('.') || 'it'}: ${issue?.message}`);
    }
    const { definitions, extra, ...definition } = parsed.data;
    found.push({ ...definition, unseenLinks: extra });
    for (const inner of definitions?.subgraphs ?? []) left.push(inner);
  }
  return found;
}

const id = z.union([z.string(), z.number()]).transform(String);
/** What is none counts as one that nothing has. */
const slotIndex = z.union([z.int(), z.string().regex(/^\d+$/).transform(Number)]).catch(-1);
/** Very old files have the list of a combo's choices for a type. */
const slotType = z
  .unknown()
  .nullish()
  .transform((type) => (Array.isArray(type) ? 'COMBO' : String(type ?? '*')));
const label = z.string().nullable().catch(null);
/** What an extension wrote in its own way counts as nothing. */
const record = z.record(z.string(), z.unknown()).catch({});

const input = z
  .object({
    name: z.string().catch(''),
    type: slotType,
    link: id.nullish().transform((link) => link ?? null),
    label: label.optional(),
    widget: z.object({ name: z.string() }).nullish().catch(null),
  })
  .transform(({ label = null, widget, ...slot }) => ({
    ...slot,
    label,
    widget: widget?.name ?? null,
  }));

const output = z.object({ type: slotType });

const node = z
  .object({
    id,
    type: z.string(),
    title: z.string().nullish().catch(null),
    mode: z.number().catch(0),
    inputs: z.array(input).nullish(),
    outputs: z.array(output).nullish(),
    widgets_values: z.union([z.array(z.unknown()), record]).nullish(),
    properties: record.nullish(),
  })
  .transform(({ title, inputs, outputs, widgets_values, properties, ...rest }) => ({
    ...rest,
    title: title || null,
    inputs: inputs ?? [],
    outputs: outputs ?? [],
    values: widgets_values ?? [],
    properties: properties ?? {},
  }));

const linkTuple = z
  .tuple([id, id, slotIndex, id])
  .rest(z.unknown())
  .transform(([id, origin, originSlot, target]) => ({ id, origin, originSlot, target }));

const linkObject = z
  .object({ id, origin_id: id, origin_slot: slotIndex, target_id: id })
  .transform(({ id, origin_id, origin_slot, target_id }) => ({
    id,
    origin: origin_id,
    originSlot: origin_slot,
    target: target_id,
  }));

/** Version 0.4 has arrays, version 1.0 objects; removed links stay behind as `null` in some files. */
const links = z
  .array(z.union([linkTuple, linkObject, z.null()]))
  .nullish()
  .transform((list) => (list ?? []).filter((link) => link !== null));

const unseenLink = z
  .object({ upstream: id, upstream_slot: slotIndex, downstream: id, downstream_slot: slotIndex })
  .transform(({ upstream, upstream_slot, downstream, downstream_slot }) => ({
    origin: upstream,
    originSlot: upstream_slot,
    target: downstream,
    targetSlot: downstream_slot,
  }));

/** "Anything Everywhere" keeps its links among what extensions add to a canvas. */
const extra = z
  .object({ ue_links: z.array(unseenLink) })
  .transform(({ ue_links }) => ue_links)
  .nullish()
  .catch(null)
  .transform((links) => links ?? null);

const subgraphSlot = z
  .object({
    name: z.string().catch(''),
    type: slotType,
    label: label.optional(),
    linkIds: z.array(id).nullish(),
  })
  .transform(({ label = null, linkIds, ...slot }) => ({ ...slot, label, links: linkIds ?? [] }));

const subgraphSlots = z
  .array(subgraphSlot)
  .nullish()
  .transform((list) => list ?? []);

/** Looked into one level at a time: how deep a file nests is the file's choice. */
const definitions = z
  .object({ subgraphs: z.array(z.looseObject({ id: z.string() })).optional() })
  .nullish();
type ParsedSubgraph = { readonly id: string };

const subgraph = z.object({
  id: z.string(),
  name: z.string().catch(''),
  nodes: z.array(node),
  links,
  inputs: subgraphSlots,
  outputs: subgraphSlots,
  extra,
  definitions,
});

const nodeCount = z.int().nonnegative();

const editorFile = z.object({
  nodes: z.array(node),
  links,
  extra,
  definitions,
  last_node_id: nodeCount.optional().catch(undefined),
  state: z.object({ lastNodeId: nodeCount }).optional().catch(undefined),
});
