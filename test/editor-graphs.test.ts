import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { nodeCatalogue } from '../src/comfyui/messages.ts';
import type { Exposure } from '../src/core/bindings/wishes.ts';
import type { Graph, GraphNode } from '../src/core/graph.ts';
import { convertEditorGraph } from '../src/workflows/editor/convert.ts';

/**
 * Editor files, each with what ComfyUI's own editor makes of it (recorded by
 * bench/editor-graphs/record.ts).
 */
const folder = join(import.meta.dirname, 'editor-graphs');

function read(name: string): object {
  return JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8'));
}

const catalogue = nodeCatalogue(read('object-info'));
const names = readdirSync(folder)
  .map((file) => file.replace(/(\.prompt)?\.json$/, ''))
  .filter((name) => name !== 'object-info');

/** Where we differ on purpose: what becomes of the editor's prompt. */
const differences: Readonly<Record<string, (prompt: Graph) => Graph>> = {
  // Sent by the editor without a class, and refused by the server.
  'browser-only-nodes': (prompt) => without(prompt, ['3', '4', '5', '6']),
  // A browser in which the packs of these nodes are not installed does not know what they carry.
  'setters-and-getters': (prompt) => ({
    ...without(prompt, ['2', '3', '6', '7', '8', '10']),
    '4': linked(prompt, '4', 'images', ['1', 0]),
    '5': linked(prompt, '5', 'image', ['1', 0]),
    '9': linked(prompt, '9', 'images', ['5', 0]),
  }),
};

function without(prompt: Graph, ids: readonly string[]): Graph {
  const expected = { ...prompt };
  for (const id of ids) {
    assert.equal(prompt[id]?.class_type, undefined);
    delete expected[id];
  }
  return expected;
}

function linked(prompt: Graph, id: string, field: string, link: [string, number]): GraphNode {
  const node = prompt[id] as GraphNode;
  return { ...node, inputs: { ...node.inputs, [field]: link } };
}

describe('convertEditorGraph, beside the editor', () => {
  it('has something to compare', () => {
    assert.ok(new Set(names).size >= 25);
  });

  for (const name of new Set(names)) {
    it(`sends the same for ${name}`, () => {
      const prompt = read(`${name}.prompt`) as Graph;
      const expected = differences[name]?.(prompt) ?? prompt;
      assert.deepEqual({ ...convertEditorGraph(read(name), catalogue).graph }, expected);
    });
  }

  it('differs only where a file says so', () => {
    for (const name of Object.keys(differences)) assert.ok(names.includes(name), name);
  });
});

it('exposes the widgets that are labelled, with primitive nodes and instances of subgraphs', () => {
  const { exposures } = convertEditorGraph(read('exposures'), catalogue);
  assert.deepEqual(sorted(exposures), [
    'crop: 2.crop',
    // Inside a subgraph that stands in the graph twice.
    'every: 5:31.scale_by',
    'every: 6:31.scale_by',
    'side: 2.height',
    'side: 2.width',
    'strength: 5:31.scale_by',
  ]);
});

function sorted(exposures: readonly Exposure[]): string[] {
  return exposures.map(({ name, slot }) => `${name}: ${slot.node}.${slot.field}`).sort();
}
