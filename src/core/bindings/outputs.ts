import { type Graph, type GraphNode, isLink, type Slot } from '../graph.ts';
import { didYouMean } from '../nearest.ts';
import { labelOf } from '../node-label.ts';
import { kindOfFormat, type ResultKind } from '../result-format.ts';
import { invalid, type WorkflowOutput } from '../workflow.ts';
import { formatsOf } from './made-formats.ts';
import { type Candidate, type Named, nameAll, wordOf } from './names.ts';
import {
  carriedField,
  previewRole,
  readerRole,
  type WriterRole,
  writerClasses,
  writerRole,
} from './roles.ts';
import type { NodeTitles } from './titles.ts';
import { type BindingWishes, findNode, type OutputWish } from './wishes.ts';

/**
 * The results that count, the main one first. `usualKind` is that of a node whose class does not tell.
 *
 * @throws GatewayError `workflow_invalid` where there is none.
 */
export function findOutputs(
  graph: Graph,
  titles: NodeTitles,
  wishes: Pick<BindingWishes, 'outputs'>,
  usualKind: ResultKind | null,
): WorkflowOutput[] {
  if (!wishes.outputs) return mainFirst(foundOutputs(graph, titles, usualKind));
  const found = wishes.outputs.some(({ node }) => node === null)
    ? foundOutputs(graph, titles, usualKind)
    : [];
  return wishedOutputs(graph, titles, wishes.outputs, usualKind, found);
}

const mainNames = ['result', 'output', 'image', 'video'];

function mainFirst(outputs: readonly WorkflowOutput[]): WorkflowOutput[] {
  const main = outputs.find(({ name }) => mainNames.includes(name)) ?? outputs[0];
  return main ? [main, ...outputs.filter((each) => each !== main)] : [];
}

/** Those that titles name, or else those whose class writes a file. */
function foundOutputs(
  graph: Graph,
  titles: NodeTitles,
  usualKind: ResultKind | null,
): WorkflowOutput[] {
  const titled = Object.keys(graph).flatMap((id) => titledOutput(graph, titles, id, usualKind));
  const candidates = titled.length > 0 ? unnamedFirst(titled) : outputsByClass(graph, titles);
  if (candidates.length === 0) {
    const classes = writerClasses.join(', ');
    throw invalid(
      `No node writes the result: one of ${classes} is needed, or a node that is titled @output`,
    );
  }
  const named =
    titled.length > 0 ? nameAll(candidates, () => 'result', 'output') : nameByKind(candidates);
  return named.map(({ name, candidate }) => outputOf(graph, candidate.id, name, candidate.kind));
}

/**
 * What can be seen comes first, and has the names that it has by itself: clients know it by these, and other
 * results of the same graph were not found before.
 */
function nameByKind(candidates: readonly Candidate[]): Named<Candidate>[] {
  const seen = candidates.filter(({ kind }) => kind === 'image' || kind === 'video');
  const others = candidates.filter((each) => !seen.includes(each));
  if (seen.length === 0) return nameAll(others, () => 'result', 'output');
  const named = nameAll(seen, () => 'result', 'output');
  for (const kind of new Set(others.map((each) => each.kind))) {
    const ofKind = others.filter((each) => each.kind === kind);
    const taken = named.map(({ name }) => name);
    named.push(...nameAll(ofKind, () => wordOf(kind), 'output', taken));
  }
  return named;
}

/** A title that leaves the name open marks the main one. */
function unnamedFirst(candidates: readonly Candidate[]): Candidate[] {
  const unnamed = candidates.find(({ name }) => name === null);
  return unnamed ? [unnamed, ...candidates.filter((each) => each !== unnamed)] : [...candidates];
}

function titledOutput(
  graph: Graph,
  titles: NodeTitles,
  id: string,
  usualKind: ResultKind | null,
): Candidate[] {
  const tokens = titles.get(id)?.tokens.filter(({ duty }) => duty === 'output') ?? [];
  const [token, second] = tokens;
  if (!token) return [];
  const node = graph[id] as GraphNode;
  const where = `${labelOf(id, node)} is titled @output`;
  if (second) throw invalid(`${where} twice`);
  if (readerRole(node.class_type)) throw invalid(`${where}, but it reads a file`);
  return [
    {
      id,
      name: token.name,
      title: titles.get(id)?.text ?? '',
      usualTitle: roleOf(node)?.title ?? null,
      isTitled: true,
      kind: kindOf(node, usualKind, where),
    },
  ];
}

function outputsByClass(graph: Graph, titles: NodeTitles): Candidate[] {
  const writing = Object.entries(graph).filter(([, node]) => writerRole(node.class_type));
  const keeping = writing.filter(([, node]) => node.inputs.save_output !== false);
  // Where nothing is kept, what is shown must be what is wanted.
  return (keeping.length > 0 ? keeping : writing).map(([id, node]) => ({
    id,
    name: null,
    title: titles.get(id)?.text ?? '',
    usualTitle: writerRole(node.class_type)?.title ?? null,
    isTitled: false,
    kind: madeKind(node) ?? 'image',
  }));
}

function wishedOutputs(
  graph: Graph,
  titles: NodeTitles,
  wishes: readonly OutputWish[],
  usualKind: ResultKind | null,
  found: readonly WorkflowOutput[],
): WorkflowOutput[] {
  if (wishes.length === 0) throw invalid('Its .meta.json: outputs: at least one node has to count');
  const resolved = wishes.map((wish, index) => {
    const where = `Its .meta.json: outputs.${wish.name ?? index}`;
    const id =
      wish.node === null
        ? idOfFound(wish, found, where)
        : findNode(graph, titles, wish.node, where);
    return { wish, id, where };
  });
  const candidates = resolved.map(({ wish, id, where }): Candidate => {
    const node = graph[id] as GraphNode;
    return {
      id,
      name: wish.name,
      title: titles.get(id)?.text ?? '',
      usualTitle: roleOf(node)?.title ?? null,
      isTitled: false,
      kind: wish.kind ?? kindOf(node, usualKind, where),
    };
  });
  const ids = new Set<string>();
  for (const { id, where } of resolved) {
    if (ids.has(id)) throw invalid(`${where}: node ${id} is there already`);
    ids.add(id);
  }
  return nameAll(candidates, () => 'result', 'output').map(({ name, candidate }) =>
    outputOf(graph, candidate.id, name, candidate.kind),
  );
}

function idOfFound(wish: OutputWish, found: readonly WorkflowOutput[], where: string): string {
  const known = found.find(({ name }) => name === wish.name);
  if (known) return known.node;
  const names = found.map(({ name }) => name);
  const hint = didYouMean(wish.name ?? '', names);
  throw invalid(`${where}: no output of this name is found, so "node" is needed${hint}`);
}

function outputOf(graph: Graph, id: string, name: string, kind: ResultKind): WorkflowOutput {
  const node = graph[id] as GraphNode;
  const role = roleOf(node);
  const hasPrefix = Object.hasOwn(node.inputs, 'filename_prefix');
  const prefixField = role ? role.prefix : hasPrefix ? 'filename_prefix' : null;
  return { name, kind, node: id, prefixField, pictures: picturesOf(graph, id, role) };
}

function roleOf(node: GraphNode): WriterRole | null {
  return writerRole(node.class_type) ?? previewRole(node.class_type);
}

/** A writer of clips may be told to write pictures. */
function madeKind(node: GraphNode): ResultKind | null {
  const kind = roleOf(node)?.kind ?? null;
  const [only, second] = kind === 'video' ? formatsOf(node) : [];
  const isPicture = only !== undefined && second === undefined && kindOfFormat(only) === 'image';
  return isPicture ? 'image' : kind;
}

function kindOf(node: GraphNode, usualKind: ResultKind | null, where: string): ResultKind {
  const kind = madeKind(node) ?? usualKind;
  if (kind) return kind;
  throw invalid(
    `${where}, but what it writes is not known; say it in .meta.json: "outputs": {"NAME": {"node": …, "type": "image"}}`,
  );
}

/** Back from the node that writes to the place where the pictures are pictures still. */
function picturesOf(graph: Graph, id: string, role: WriterRole | null): Slot | null {
  const node = graph[id] as GraphNode;
  const field = role
    ? role.pictures
    : ['images', 'image'].find((name) => isLink(node.inputs[name]));
  if (field == null) return null;
  const link = node.inputs[field];
  if (!isLink(link)) return null;
  if (role?.pictures !== 'video') return { node: id, field };
  const carrier = graph[link[0]] as GraphNode;
  const carried = carriedField(carrier.class_type);
  if (carried === null || !isLink(carrier.inputs[carried])) return null;
  return { node: link[0], field: carried };
}
