import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { nodeCatalogue } from '../../../src/comfyui/messages.ts';
import { bind } from '../../../src/core/bind.ts';
import { shortcomings } from '../../../src/core/capabilities.ts';
import { checkGraph } from '../../../src/core/check-graph.ts';
import type { NodeCatalogue } from '../../../src/core/node-catalogue.ts';
import { parametersSchema } from '../../../src/core/parameters.ts';
import { planSize, sizeAsTheWorkflowGives } from '../../../src/core/size-plan.ts';
import type { Workflow } from '../../../src/core/workflow.ts';
import { classes } from '../../../src/emulator/object-info.ts';
import { checkArguments } from '../../../src/workflows/arguments.ts';
import { convertEditorGraph, isEditorGraph } from '../../../src/workflows/editor/convert.ts';
import { parseMeta } from '../../../src/workflows/meta.ts';
import { parseWorkflow } from '../../../src/workflows/parse.ts';
import { mutatedJson, oddText, oddValue } from '../mutate.ts';
import { type FuzzTarget, orRefusal, target } from '../target.ts';

const root = join(import.meta.dirname, '../../..');

function readAll(folder: string, isWanted: (name: string) => boolean): unknown[] {
  const path = join(root, folder);
  const names = readdirSync(path).filter((name) => name.endsWith('.json') && isWanted(name));
  return names.toSorted().map((name) => JSON.parse(readFileSync(join(path, name), 'utf8')));
}

const isSidecar = (name: string) => name.endsWith('.meta.json');
const graphs = readAll('workflows', (name) => !isSidecar(name));
const sidecarsOfGraphs = readAll('workflows', isSidecar);
const sidecars = [
  ...sidecarsOfGraphs,
  {
    type: 'image',
    aliases: ['a'],
    scale: 2,
    inputs: { image: { node: 1, field: 'image', type: 'image', required: true } },
    outputs: { main: { node: '4', type: 'image' } },
    parameters: {
      seed: { node: '3', field: 'seed', schema: { minimum: 1, maximum: 9 }, default: 3 },
      both: { slots: [{ node: '1', field: 'a' }], description: 'b' },
      hidden: false,
    },
    queue_timeout: 3,
    run_timeout: 0.5,
    queue_when_unavailable: true,
    limits: { max_pixels: 9, max_seconds: 0.5, max_frames: 3 },
  },
];
const editorFolder = 'test/editor-graphs';
const isPrompt = (name: string) => name.endsWith('.prompt.json');
const editorFiles = readAll(editorFolder, (name) => !isPrompt(name) && name !== 'object-info.json');
const prompts = readAll(editorFolder, isPrompt);

const emulated = nodeCatalogue(Object.fromEntries(classes));
const recorded = nodeCatalogue(
  JSON.parse(readFileSync(join(root, editorFolder, 'object-info.json'), 'utf8')),
);

const anyCatalogue = fc.constantFrom<NodeCatalogue | null>(emulated, recorded, null);
/** What a value may be refused with where a file is read, and where a task comes. */
const ofFile = ['workflow_invalid', 'workflow_unavailable'] as const;
const ofTask = ['invalid_request', 'workflow_invalid', 'media_too_large'] as const;

/** Everything that is asked of a workflow from its file to its prompt. */
function use(workflow: Workflow, catalogue: NodeCatalogue | null, values: object): void {
  if (catalogue) shortcomings(workflow, catalogue);
  const schema = parametersSchema(workflow, catalogue);
  assert.ok(JSON.stringify(schema));
  const named = Object.fromEntries(
    Object.entries(values).map(([name, value], index) => [
      workflow.parameters[index]?.name ?? name,
      value,
    ]),
  );
  const chosen = orRefusal(ofTask, () => checkArguments(workflow, catalogue, named)) ?? {};
  const source = { kind: 'image', format: 'png', width: 641, height: 480 } as const;
  const size =
    orRefusal(ofTask, () =>
      planSize(source, workflow, { ...sizeAsTheWorkflowGives, outscale: 1.5 }),
    ) ?? ({ by: 'workflow' } as const);
  const files = Object.fromEntries(workflow.inputs.map(({ name }) => [name, `tmlsr/a/${name}`]));
  const folder = 'tmlsr/a';
  const prompt = orRefusal(ofTask, () =>
    bind(workflow, { files, folder, arguments: chosen, size }),
  );
  if (prompt === null) return;
  checkGraph(prompt);
  for (const { slot } of workflow.inputs) {
    const value = prompt[slot.node]?.inputs[slot.field];
    assert.ok(typeof value === 'string' && value.startsWith(folder), 'An input is not filled');
  }
  for (const { node, prefixField } of workflow.outputs) {
    if (prefixField === null) continue;
    const value = prompt[node]?.inputs[prefixField];
    assert.ok(typeof value === 'string' && value.startsWith(folder), 'A result lies elsewhere');
  }
}

/** A graph with what stands beside it, as texts. */
const anyFiles = (files: readonly (readonly [graph: unknown, meta: unknown])[]) =>
  mutatedJson(files).map((pair) => {
    const [graph, meta = null] = Array.isArray(pair) ? pair : [pair];
    const text = JSON.stringify(graph ?? null);
    return { name: 'w', text, meta: meta === null ? null : JSON.stringify(meta) };
  });
const values = fc.dictionary(oddText, oddValue, { maxKeys: 3 });

export const workflowTargets: readonly FuzzTarget[] = [
  target('workflow-file', 6, {
    cases: fc.tuple(
      anyFiles([
        ...graphs.map((graph, index) => [graph, sidecarsOfGraphs[index]] as const),
        ...prompts.map((prompt) => [prompt, null] as const),
      ]),
      anyCatalogue,
      values,
    ),
    check([file, catalogue, chosen]) {
      const workflow = orRefusal(ofFile, () => parseWorkflow(file, catalogue));
      if (workflow === null) return;
      assert.equal(parseWorkflow(file, catalogue).hash, workflow.hash);
      use(workflow, catalogue, chosen);
    },
  }),
  target('editor-file', 6, {
    cases: fc.tuple(
      anyFiles(editorFiles.map((saved) => [saved, { title: 'a', type: 'image' }])),
      fc.constantFrom(recorded, emulated),
      values,
    ),
    check([file, catalogue, chosen]) {
      const workflow = orRefusal(ofFile, () => parseWorkflow(file, catalogue));
      if (workflow !== null) use(workflow, catalogue, chosen);
    },
  }),
  target('editor-converter', 12, {
    cases: mutatedJson(editorFiles),
    check(saved) {
      if (typeof saved !== 'object' || saved === null || !isEditorGraph(saved)) return;
      const read = orRefusal(ofFile, () => convertEditorGraph(saved, recorded));
      if (read === null) return;
      checkGraph(read.graph);
      for (const { slot } of read.exposures) assert.ok(Object.hasOwn(read.graph, slot.node));
      assert.deepEqual(convertEditorGraph(saved, recorded).graph, read.graph);
    },
  }),
  target('sidecar', 6, {
    cases: fc.oneof(mutatedJson(sidecars), oddValue),
    check(meta) {
      orRefusal(ofFile, () => parseMeta(JSON.stringify(meta)));
    },
  }),
];
