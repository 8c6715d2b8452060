import { type Graph, type GraphNode, isLink, type Slot } from '../graph.ts';
import { formatOfName, type MediaKind, mediaKindOf, mediaKinds } from '../media.ts';
import { didYouMean } from '../nearest.ts';
import { labelOf } from '../node-label.ts';
import { invalid, type WorkflowInput } from '../workflow.ts';
import { type Candidate, nameAll } from './names.ts';
import { insteadOfPathReader, readerRole } from './roles.ts';
import type { NodeTitles } from './titles.ts';
import { type BindingWishes, findNode, type InputWish } from './wishes.ts';

/** The files that a task brings, the main one first. */
export function findInputs(
  graph: Graph,
  titles: NodeTitles,
  wishes: Pick<BindingWishes, 'kind' | 'inputs'>,
): WorkflowInput[] {
  const wished = wishes.inputs;
  const kind = mediaKinds.find((each) => each === wishes.kind) ?? null;
  // A wish that names no node is about one that is found.
  const found =
    !wished || wished.some(({ node }) => node === null) ? foundInputs(graph, titles, kind) : [];
  const inputs = wished
    ? wished.map((wish) => wishedInput(graph, titles, wish, kind, found))
    : found;
  const main = inputs.find((input) => isMain(input, kind)) ?? inputs[0];
  return main ? [main, ...inputs.filter((input) => input !== main)] : [];
}

const mainNames = ['image', 'video', 'input'];

function isMain(input: WorkflowInput, kind: MediaKind | null): boolean {
  return mainNames.includes(input.name) && (kind === null || input.kind === kind);
}

/** Those that titles name, or else those whose class reads a file; the main one first. */
function foundInputs(graph: Graph, titles: NodeTitles, kind: MediaKind | null): WorkflowInput[] {
  const titled = Object.keys(graph).flatMap((id) => titledInput(graph, titles, id, kind));
  const candidates = titled.length > 0 ? titled : inputsByClass(graph, titles);
  const main = mainOf(candidates, kind);
  const ordered = main ? [main, ...candidates.filter((each) => each !== main)] : [];
  // A sound beside pictures changes none of their names, by which clients know them.
  const isBeside = (each: InputCandidate) => each.kind === 'audio' && main?.kind !== 'audio';
  const first = nameAll(
    ordered.filter((each) => !isBeside(each)),
    (only) => only.kind,
    'input',
  );
  const names = first.map(({ name }) => name);
  const sounds = nameAll(ordered.filter(isBeside), (only) => only.kind, 'input', names);
  return [...first, ...sounds].map(({ name, candidate }) => ({
    name,
    kind: candidate.kind,
    slot: candidate.slot,
    // Before sounds were found, the file that the graph names was read.
    isRequired: candidate.isTitled || !isBeside(candidate),
    description: null,
  }));
}

interface InputCandidate extends Candidate {
  readonly kind: MediaKind;
  readonly slot: Slot;
  readonly isMask: boolean;
}

/** A title that leaves the name open marks the main one; a mask is one only where nothing else is. */
function mainOf(
  candidates: readonly InputCandidate[],
  kind: MediaKind | null,
): InputCandidate | undefined {
  const ofKind = candidates.filter((each) => kind === null || each.kind === kind);
  return (
    ofKind.find(({ isTitled, name }) => isTitled && name === null) ??
    ofKind.find(({ name }) => name !== null && mainNames.includes(name)) ??
    ofKind.find(({ isMask, kind }) => !isMask && kind !== 'audio') ??
    ofKind.find(({ isMask }) => !isMask) ??
    candidates[0]
  );
}

function titledInput(
  graph: Graph,
  titles: NodeTitles,
  id: string,
  kind: MediaKind | null,
): InputCandidate[] {
  const tokens = titles.get(id)?.tokens.filter(({ duty }) => duty === 'input') ?? [];
  const [token, second] = tokens;
  if (!token) return [];
  const node = graph[id] as GraphNode;
  const where = `${labelOf(id, node)} is titled @input`;
  if (second) throw invalid(`${where} twice; a node reads one file`);
  const field = readerRole(node.class_type)?.field ?? fileField(node, where);
  return [
    {
      id,
      name: token.name,
      title: titles.get(id)?.text ?? '',
      usualTitle: readerRole(node.class_type)?.title ?? null,
      isTitled: true,
      kind: kindOf(node, field, kind, where),
      slot: { node: id, field },
      isMask: node.class_type === 'LoadImageMask',
    },
  ];
}

function inputsByClass(graph: Graph, titles: NodeTitles): InputCandidate[] {
  return Object.entries(graph).flatMap(([id, node]) => {
    const role = readerRole(node.class_type);
    // What another node names is no place for a task's file.
    if (!role || isLink(node.inputs[role.field])) return [];
    return {
      id,
      name: null,
      title: titles.get(id)?.text ?? '',
      usualTitle: role.title,
      isTitled: false,
      kind: role.kind,
      slot: { node: id, field: role.field },
      isMask: node.class_type === 'LoadImageMask',
    };
  });
}

function wishedInput(
  graph: Graph,
  titles: NodeTitles,
  wish: InputWish,
  workflowKind: MediaKind | null,
  found: readonly WorkflowInput[],
): WorkflowInput {
  const { name, isRequired, description } = wish;
  const where = `Its .meta.json: inputs.${name}`;
  if (wish.node === null) {
    const known = found.find((input) => input.name === name);
    if (known) return { ...known, kind: wish.kind ?? known.kind, isRequired, description };
    const hint = didYouMean(
      name,
      found.map((input) => input.name),
    );
    throw invalid(`${where}: no input of this name is found, so "node" is needed${hint}`);
  }
  const id = findNode(graph, titles, wish.node, where);
  const node = graph[id] as GraphNode;
  const role = readerRole(node.class_type);
  const field = wish.field ?? role?.field ?? fileField(node, where);
  if (!Object.hasOwn(node.inputs, field)) {
    const hint = didYouMean(field, Object.keys(node.inputs));
    throw invalid(`${where}: ${labelOf(id, node)} has no input ${JSON.stringify(field)}${hint}`);
  }
  const kind = wish.kind ?? kindOf(node, field, workflowKind, where);
  return { name, kind, slot: { node: id, field }, isRequired, description };
}

/** Inputs of unknown classes that take a file, as their authors call them. */
const fileFields = [
  ...['image', 'video', 'audio', 'file', 'filename', 'file_name'],
  ...['image_file', 'video_file', 'audio_file'],
];

function fileField(node: GraphNode, where: string): string {
  const instead = insteadOfPathReader(node.class_type);
  if (instead !== null) {
    throw invalid(
      `${where}, but ${node.class_type} takes a path of the server instead of an uploaded file; use ${instead}`,
    );
  }
  const texts = Object.keys(node.inputs).filter((field) => typeof node.inputs[field] === 'string');
  const [only, second] = texts.filter((field) => fileFields.includes(field));
  if (only !== undefined && second === undefined) return only;
  const choices = texts.length === 0 ? 'it has no text' : `it has ${texts.join(', ')}`;
  throw invalid(
    `${where}, but which of its inputs takes the file's name is not known (${choices}); say it in .meta.json: "inputs": {"NAME": {"node": …, "field": …}}`,
  );
}

function kindOf(
  node: GraphNode,
  field: string,
  workflowKind: MediaKind | null,
  where: string,
): MediaKind {
  const known = readerRole(node.class_type)?.kind ?? kindInName(field);
  if (known) return known;
  const value = node.inputs[field];
  const format = typeof value === 'string' ? formatOfName(value) : null;
  const kind = (format && mediaKindOf(format)) ?? workflowKind;
  if (kind) return kind;
  throw invalid(
    `${where}, but whether it reads an image, a video or a sound is not known; say it in .meta.json: "type": "image"`,
  );
}

function kindInName(field: string): MediaKind | null {
  if (field.includes('image')) return 'image';
  if (field.includes('audio')) return 'audio';
  return field.includes('video') ? 'video' : null;
}
