import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { nodeCatalogue } from '../../comfyui/messages.ts';
import { GatewayError } from '../../core/errors.ts';
import { convertEditorGraph, isEditorGraph } from './convert.ts';

const catalogue = nodeCatalogue({
  Load: { input: { required: { file: ['STRING'] } }, output: ['IMAGE', 'MASK'] },
  Filter: {
    input: { required: { image: ['IMAGE'], strength: ['FLOAT', { default: 1 }] } },
    output: ['IMAGE'],
  },
  Save: { input: { required: { image: ['IMAGE'] } }, output: [], output_node: true },
  LoadRemote: {
    input: {
      required: {
        image: ['COMBO', { remote: { route: '/files', refresh_button: true } }],
        size: ['INT'],
      },
    },
    output: ['IMAGE'],
  },
  'Anything Everywhere': { input: { optional: { anything: ['*'] } }, output: [] },
});

interface Node {
  readonly id: string | number;
  readonly type: string;
  readonly [field: string]: unknown;
}

const load = { id: 1, type: 'Load', widgets_values: ['a.png'] };
const save = (link: number, id = 3) => ({ id, type: 'Save', inputs: [{ name: 'image', link }] });
const filter = (link: number, more: object = {}): Node => ({
  id: 2,
  type: 'Filter',
  inputs: [{ name: 'image', link }],
  widgets_values: [0.5],
  ...more,
});
const chain = [
  [1, 1, 0, 2, 0, 'IMAGE'],
  [2, 2, 0, 3, 0, 'IMAGE'],
];

function file(nodes: readonly Node[], links: unknown = chain, subgraphs: readonly object[] = []) {
  return { version: 0.4, nodes, links, definitions: { subgraphs } };
}

function convert(value: object) {
  return convertEditorGraph(value, catalogue);
}

function refusal(value: object): string {
  try {
    convert(value);
  } catch (error) {
    assert.ok(error instanceof GatewayError);
    assert.equal(error.code, 'workflow_invalid');
    return error.message;
  }
  return assert.fail('It was converted');
}

describe('isEditorGraph', () => {
  it('knows the editor’s own format from that of the API', () => {
    assert.ok(isEditorGraph({ nodes: [], links: [] }));
    assert.ok(!isEditorGraph({ nodes: { class_type: 'Load', inputs: {} } }));
    assert.ok(!isEditorGraph({ '1': { class_type: 'Load', inputs: {} } }));
  });
});

describe('convertEditorGraph', () => {
  it('leaves out unknown nodes that nothing needs', () => {
    const extra = { id: 9, type: 'Sticker', inputs: [{ name: 'image', link: 3 }] };
    const behind = { id: 10, type: 'Filter', inputs: [{ name: 'image', link: 4 }] };
    const links = [...chain, [3, 2, 0, 9, 0, 'IMAGE'], [4, 9, 0, 10, 0, 'IMAGE']];
    const { graph } = convert(file([load, filter(1), save(2), extra, behind], links));
    assert.deepEqual(Object.keys(graph), ['1', '2', '3', '10']);
    assert.deepEqual(graph['10']?.inputs, { strength: 1 });
  });

  it('knows the widgets that stand behind choices which the browser fetches', () => {
    const remote = { id: 1, type: 'LoadRemote', widgets_values: ['a.png', false, 'refresh', 5] };
    const { graph } = convert(file([remote], []));
    assert.deepEqual(graph['1']?.inputs, { image: 'a.png', refresh: 'refresh', size: 5 });
  });

  it('refuses an unknown node that a result needs, by title, id and class', () => {
    const unknown = filter(1, { type: 'Magic', title: 'The wand' });
    assert.match(refusal(file([load, unknown, save(2)])), /Magic \(node 2, "The wand"\).*install/);
  });

  it('has a place for any id', () => {
    const odd = { ...load, id: '__proto__' };
    const { graph } = convert(file([odd, save(1)], [[1, '__proto__', 0, 3, 0, 'IMAGE']]));
    assert.deepEqual(Object.keys(graph), ['3', '__proto__']);
    assert.deepEqual(graph['3']?.inputs, { image: ['__proto__', 0] });
  });

  it('refuses links that lead nowhere', () => {
    assert.match(refusal(file([load, save(7)], [])), /"image" is not in the file/);
    assert.match(refusal(file([save(1)], [[1, 5, 0, 3, 0, 'IMAGE']])), /a node that is not in/);
    assert.match(refusal(file([load, save(1)], [[1, 1, 2, 3, 0, 'IMAGE']])), /output number 2/);
  });

  it('refuses circles, of nodes as of reroutes', () => {
    const circle = [
      [1, 2, 0, 2, 0, 'IMAGE'],
      [2, 2, 0, 3, 0, 'IMAGE'],
    ];
    assert.match(refusal(file([filter(1), save(2)], circle)), /cycle/);
    const reroute = { id: 2, type: 'Reroute', inputs: [{ name: '', link: 1 }] };
    assert.match(refusal(file([reroute, save(2)], circle)), /circle/);
  });

  it('refuses ids that stand for two nodes', () => {
    assert.match(refusal(file([load, { ...load, type: 'Save' }], [])), /same id/);
  });

  it('refuses nodes whose links only their own code knows', () => {
    const everywhere = { id: 4, type: 'Anything Everywhere' };
    assert.match(refusal(file([load, everywhere], [])), /Anything Everywhere .*draw these links/);
    assert.deepEqual(Object.keys(convert(file([load, { ...everywhere, mode: 2 }], [])).graph), [
      '1',
    ]);
  });

  it('draws the links that such nodes have noted in the file', () => {
    const everywhere = {
      id: 4,
      type: 'Anything Everywhere',
      inputs: [{ name: 'anything', link: 1 }],
    };
    const unlinked = [filter(0, { inputs: [{ name: 'image', link: null }] }), save(2), everywhere];
    const links = [
      [1, 1, 0, 4, 0, 'IMAGE'],
      [2, 2, 0, 3, 0, 'IMAGE'],
    ];
    const noted = { upstream: '1', upstream_slot: 0, downstream: 2, downstream_slot: 0 };
    const said = (...ue_links: unknown[]) => ({
      ...file([load, ...unlinked], links),
      extra: { ue_links },
    });
    const { graph } = convert(said({ ...noted, controller: 4, type: 'IMAGE' }));
    assert.deepEqual(Object.keys(graph), ['1', '2', '3']);
    assert.deepEqual(graph['2']?.inputs, { strength: 0.5, image: ['1', 0] });
    assert.match(refusal(said({ ...noted, downstream_slot: 7 })), /Filter .* that it lacks/);
    assert.match(refusal(said({ upstream: 1 })), /Anything Everywhere .*draw these links/);
  });

  it('draws them inside subgraphs, from their inputs and to their outputs', () => {
    const inner = {
      id: 's0',
      name: 'inner',
      inputs: [{ name: 'image', type: 'IMAGE', linkIds: [] }],
      outputs: [{ name: 'IMAGE', type: 'IMAGE', linkIds: [] }],
      nodes: [filter(0, { inputs: [{ name: 'image', link: null }] })],
      links: [],
      extra: {
        ue_links: [
          { upstream: -10, upstream_slot: 0, downstream: 2, downstream_slot: 0 },
          { upstream: '2', upstream_slot: 0, downstream: -20, downstream_slot: 0 },
        ],
      },
    };
    const host = { id: 5, type: 's0', inputs: [{ name: 'image', type: 'IMAGE', link: 1 }] };
    const links = [
      [1, 1, 0, 5, 0, 'IMAGE'],
      [2, 5, 0, 3, 0, 'IMAGE'],
    ];
    const { graph } = convert(file([load, host, save(2)], links, [inner]));
    assert.deepEqual(graph['5:2']?.inputs.image, ['1', 0]);
    assert.deepEqual(graph['3']?.inputs.image, ['5:2', 0]);
  });

  it('names all classes that are missing', () => {
    const nodes = [
      load,
      filter(1, { type: 'Glow' }),
      { ...save(3), inputs: [{ name: 'image', link: 3 }] },
    ];
    const between = { id: 4, type: 'Haze', inputs: [{ name: 'image', link: 2 }] };
    const links = [
      [1, 1, 0, 2, 0, 'IMAGE'],
      [2, 4, 0, 3, 0, 'IMAGE'],
      [3, 2, 0, 3, 0, 'IMAGE'],
    ];
    const two = [...nodes, between, { id: 6, type: 'Save', inputs: [{ name: 'image', link: 2 }] }];
    assert.match(refusal(file(two, links)), /^The backend has no classes Glow, Haze;/);
    assert.match(refusal(file(nodes, links)), /^Glow \(node 2\): the backend has no class Glow;/);
  });

  it('refuses group nodes and subgraphs that the file lacks', () => {
    assert.match(refusal(file([{ id: 1, type: 'workflow>mine' }], [])), /group node/);
    const type = '01234567-89ab-4cde-8f01-23456789abcd';
    assert.match(refusal(file([{ id: 1, type }], [])), /not in the file/);
  });

  it('refuses subgraphs that contain themselves, or stand in each other without end', () => {
    const inside = (id: string, type: string) => ({ id, name: id, nodes: [{ id: 1, type }] });
    const host = { id: 1, type: 's0' };
    const selves = [inside('s0', 's1'), inside('s1', 's0')];
    assert.match(refusal(file([host], [], selves)), /contains itself/);
    const deep = Array.from({ length: 40 }, (_, index) => inside(`s${index}`, `s${index + 1}`));
    assert.match(refusal(file([host], [], deep)), /more than 32 deep/);
  });

  it('refuses graphs that unfold into too many nodes', () => {
    const doubling = Array.from({ length: 30 }, (_, index) => ({
      id: `s${index}`,
      name: '',
      nodes: [1, 2].map((id) => ({ id, type: `s${index + 1}` })),
    }));
    assert.match(refusal(file([{ id: 1, type: 's0' }], [], doubling)), /more than 20000 nodes/);
  });

  it('refuses names for parameters that are none, or stand at nothing', () => {
    const labelled = (label: string, link: number | null = null) =>
      filter(1, {
        inputs: [
          { name: 'image', link: 1 },
          { name: 'strength', widget: { name: 'strength' }, label, link },
        ],
      });
    const exposed = convert(file([load, labelled('@param:how_much'), save(2)]));
    assert.deepEqual(exposed.exposures, [
      { name: 'how_much', slot: { node: '2', field: 'strength' } },
    ]);
    assert.match(
      refusal(file([load, labelled('@param:2fast'), save(2)])),
      /Filter \(node 2\).*2fast/,
    );
    const number = { id: 5, type: 'Load' };
    const links = [...chain, [3, 5, 0, 2, 1, 'FLOAT']];
    const driven = file([load, labelled('@param:s', 3), save(2), number], links);
    assert.match(refusal(driven), /no value that can be set/);
  });

  it('says what is wrong with a file that no editor saved', () => {
    assert.match(refusal({ nodes: [{ id: 1 }] }), /nodes\.0\.type/);
    assert.match(refusal(file([load], [['x']])), /links\.0/);
  });
});

describe('convertEditorGraph, with any file', () => {
  const id = fc.constantFrom<unknown>(1, 2, 3, 1, 2, 3, '4', -10);
  const type = fc.constantFrom(
    ...['Load', 'Load', 'Filter', 'Save', 'Reroute', 'PrimitiveNode', 'SetNode', 'GetNode', 'Note'],
    ...['Magic', 's1', 's2'],
  );
  const text = fc.constantFrom(
    ...['image', 'image', 'strength', 'strength', 'file', '', '__proto__'],
    ...['@param:x', '@param:'],
  );
  const input = fc.record(
    {
      name: text,
      type: fc.constantFrom<unknown>('IMAGE', '*', 'FLOAT', -1, []),
      link: fc.option(id, { freq: 2 }),
      label: fc.option(text, { freq: 1 }),
      widget: fc.option(fc.record({ name: text })),
    },
    { requiredKeys: ['name'] },
  );
  const node = (own: number) =>
    fc.record(
      {
        id: fc.constant(own),
        type,
        mode: fc.constantFrom(0, 0, 0, 2, 4),
        title: text,
        inputs: fc.array(input, { maxLength: 3 }),
        outputs: fc.array(input, { maxLength: 2 }),
        widgets_values: fc.oneof(fc.array(fc.jsonValue(), { maxLength: 3 }), fc.jsonValue()),
        properties: fc.record({
          proxyWidgets: fc.oneof(
            fc.jsonValue(),
            fc.array(fc.tuple(fc.constantFrom('1', '2', '-1'), text), { maxLength: 3 }),
          ),
        }),
      },
      { requiredKeys: ['id', 'type'] },
    );
  const nodes = fc
    .tuple(node(1), node(2), node(3), fc.option(fc.constant({ id: 1, type: 'Load' }), { freq: 1 }))
    .map((list) => list.filter((each) => each !== null));
  const link = (own: number) =>
    fc.oneof(
      fc.tuple(fc.constant(own), id, fc.nat(1), id, fc.nat(2), fc.constant('*')),
      fc.record({
        id: fc.constant(own),
        origin_id: id,
        origin_slot: fc.nat(1),
        target_id: id,
        target_slot: fc.nat(2),
      }),
    );
  const links = fc.tuple(link(1), link(2), link(3));
  const slots = fc.array(
    fc.record({ name: text, type: fc.constant('*'), linkIds: fc.array(id, { maxLength: 3 }) }),
    { maxLength: 2 },
  );
  const subgraph = (name: string) =>
    fc.record({ id: fc.constant(name), nodes, links, inputs: slots, outputs: slots });
  const likely = fc.record({
    nodes,
    links,
    definitions: fc.record({ subgraphs: fc.tuple(subgraph('s1'), subgraph('s2')) }),
  });

  it('converts it or says what is wrong', () => {
    let converted = 0;
    fc.assert(
      fc.property(fc.oneof({ weight: 9, arbitrary: likely }, fc.object()), (value) => {
        try {
          convert(value);
          converted += 1;
        } catch (error) {
          if (!(error instanceof GatewayError)) throw error;
          assert.equal(error.code, 'workflow_invalid');
          assert.ok(error.message.length > 0);
        }
      }),
      { numRuns: 2_000 },
    );
    // Else it would say nothing of what converting does.
    assert.ok(converted > 20, `${converted}`);
  });

  it('does not hang on long chains and deep values', () => {
    const length = 19_000;
    const reroutes = Array.from({ length }, (_, index) => ({
      id: index + 1,
      type: 'Reroute',
      inputs: [{ name: '', link: index }],
    }));
    const way = reroutes.map(({ id }) => [id, id, 0, id + 1, 0, '*']);
    assert.match(refusal(file([...reroutes, save(length, length + 1)], way)), /circle|reroutes/);
    const deep: unknown = JSON.parse('['.repeat(50_000) + ']'.repeat(50_000));
    assert.ok(convert(file([{ ...load, widgets_values: [deep] }], [])));
  });
});
