import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { nodeCatalogue } from '../../comfyui/messages.ts';
import type { Graph } from '../../core/graph.ts';
import { convertEditorGraph } from './convert.ts';

/** Graphs as the API takes them, saved as an editor would save them, and converted back. */

const modes = ['nearest', 'area', 'lanczos'];
const catalogue = nodeCatalogue({
  Source: {
    input: { required: { file: [['a.png'], { image_upload: true }], scale: ['FLOAT'] } },
    output: ['IMAGE', 'FLOAT'],
    display_name: 'Load an image',
  },
  Filter: {
    input: {
      required: {
        image: ['IMAGE'],
        seed: ['INT', { control_after_generate: true }],
        mode: [modes],
        strength: ['FLOAT', { default: 1 }],
      },
      optional: { mask: ['IMAGE'], text: ['STRING', { multiline: true }], more: ['JSON'] },
    },
    output: ['IMAGE', 'FLOAT'],
  },
  Sink: {
    input: { required: { image: ['IMAGE'], noise_seed: ['INT'], title: ['STRING'] } },
    output: [],
    output_node: true,
  },
});

type Row = readonly [widget: string, type: string, value: fc.Arbitrary<unknown>];

/** The widgets of each class in order; those without a name of an input are the editor's own. */
const widgets: Readonly<Record<string, readonly Row[]>> = {
  Source: [
    ['file', 'COMBO', fc.string()],
    ['scale', 'FLOAT', fc.integer()],
    ['', '', fc.constant('image')],
  ],
  Filter: [
    ['seed', 'INT', fc.nat()],
    ['', '', fc.constantFrom('fixed', 'randomize', 'increment')],
    ['mode', 'COMBO', fc.constantFrom(...modes)],
    ['strength', 'FLOAT', fc.double({ noNaN: true, noDefaultInfinity: true, min: 0.5 })],
    ['text', 'STRING', fc.string()],
  ],
  Sink: [
    ['noise_seed', 'INT', fc.nat()],
    ['', '', fc.constantFrom('fixed', 'randomize')],
    ['title', 'STRING', fc.string()],
  ],
};
const sockets: Readonly<Record<string, readonly string[]>> = {
  Source: [],
  Filter: ['image', 'mask'],
  Sink: ['image'],
};

/** What a value is while the editor does not need it: a link overrides it, or a primitive node. */
const stale = 'stale';

interface SavedInput {
  readonly name: string;
  readonly type: string;
  readonly widget?: { readonly name: string };
  link: number | null;
}

interface SavedNode {
  readonly id: number;
  readonly type: string;
  readonly title?: string;
  readonly inputs: SavedInput[];
  readonly widgets_values: unknown[];
}

/** Draws a graph with `pick`, and the editor's file of it. */
function draw(pick: fc.GeneratorValue): { readonly graph: Graph; readonly file: object } {
  const chance = (percent: number): boolean => pick(fc.nat, { max: 99 }) < percent;
  const graph: Record<string, Graph[string]> = {};
  const nodes: SavedNode[] = [];
  const links: [number, number, number, number, number, string][] = [];
  let lastId = 0;

  const link = (origin: number, slot: number, target: number, type: string): number => {
    const id = links.length + 1;
    links.push([id, origin, slot, target, 0, type]);
    return id;
  };
  /** A link from there, through as many reroutes as chance will have. */
  const arrive = (origin: number, slot: number, target: number, type: string): number => {
    let [from, output] = [origin, slot];
    while (chance(25)) {
      lastId += 1;
      const inputs = [{ name: '', type: '*', link: link(from, output, lastId, type) }];
      nodes.push({ id: lastId, type: 'Reroute', inputs, widgets_values: [] });
      [from, output] = [lastId, 0];
    }
    return link(from, output, target, type);
  };
  const primitive = (value: unknown, target: number, type: string): number => {
    lastId += 1;
    nodes.push({ id: lastId, type: 'PrimitiveNode', inputs: [], widgets_values: [value, 'fixed'] });
    return link(lastId, 0, target, type);
  };

  const count = pick(fc.integer, { min: 1, max: 7 });
  const real: number[] = [];
  for (let made = 0; made < count; made++) {
    lastId += pick(fc.integer, { min: 1, max: 3 });
    const id = lastId;
    const type = pick(() => fc.constantFrom(...Object.keys(widgets)));
    const title = chance(30) ? pick(fc.string, { minLength: 1 }) : undefined;
    const origin = (): number | undefined =>
      real.length === 0 ? undefined : real[pick(fc.nat, { max: real.length - 1 })];
    const fields: Record<string, unknown> = {};
    const saved: SavedNode = {
      id,
      type,
      ...(title === undefined ? {} : { title }),
      inputs: [],
      widgets_values: [],
    };
    for (const name of sockets[type] ?? []) {
      const from = chance(80) ? origin() : undefined;
      if (from !== undefined) fields[name] = [`${from}`, 0];
      const arrived = from === undefined ? null : arrive(from, 0, id, 'IMAGE');
      if (arrived !== null || chance(50)) saved.inputs.push({ name, type: 'IMAGE', link: arrived });
    }
    for (const [name, kind, values] of widgets[type] ?? []) {
      const value = pick(() => values);
      const from = kind === 'FLOAT' && chance(30) ? origin() : undefined;
      let input: number | null = null;
      if (from !== undefined) input = arrive(from, 1, id, kind);
      // Numbers are fitted to the limits of what they feed, which is told elsewhere.
      else if (kind === 'STRING' && value !== '' && chance(30)) input = primitive(value, id, kind);
      saved.widgets_values.push(input === null ? value : stale);
      if (name === '') continue;
      fields[name] = from === undefined ? value : [`${from}`, 1];
      // Before, only widgets that had been turned into inputs were among them.
      if (input !== null || chance(30)) {
        saved.inputs.push({ name, type: kind, widget: { name }, link: input });
      }
    }
    nodes.push({
      ...saved,
      inputs: pick(fc.shuffledSubarray<SavedInput>, saved.inputs, all(saved.inputs)),
    });
    if (type !== 'Sink') real.push(id);
    const usual = catalogue.get(type)?.displayName ?? type;
    graph[id] = { class_type: type, inputs: fields, _meta: { title: title ?? usual } };
  }

  const isNew = chance(50);
  const savedLinks = isNew ? links.map(asObject) : links;
  const file = {
    version: isNew ? 1 : 0.4,
    nodes: pick(fc.shuffledSubarray<SavedNode>, nodes, all(nodes)),
    links: pick(fc.shuffledSubarray<unknown>, savedLinks, all(savedLinks)),
    groups: [{ title: 'a group' }],
  };
  return { graph, file };
}

function all({ length }: readonly unknown[]): { minLength: number; maxLength: number } {
  return { minLength: length, maxLength: length };
}

function asObject([id, origin, slot, target, targetSlot, type]: readonly unknown[]): object {
  return {
    id,
    origin_id: origin,
    origin_slot: slot,
    target_id: target,
    target_slot: targetSlot,
    type,
  };
}

it('gives back every graph that an editor has saved', () => {
  fc.assert(
    fc.property(fc.gen(), (pick) => {
      const { graph, file } = draw(pick);
      assert.deepEqual({ ...convertEditorGraph(file, catalogue).graph }, graph);
    }),
    { numRuns: 500 },
  );
});
