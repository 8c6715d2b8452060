import { type BindingWishes, findBindings } from '../core/bindings/find-bindings.ts';
import type { Exposure } from '../core/bindings/wishes.ts';
import { checkGraph } from '../core/check-graph.ts';
import { withoutIncompleteOutputs } from '../core/complete-outputs.ts';
import { GatewayError } from '../core/errors.ts';
import type { Graph } from '../core/graph.ts';
import type { NodeCatalogue } from '../core/node-catalogue.ts';
import { schemaOf } from '../core/parameters.ts';
import { invalid, type Workflow } from '../core/workflow.ts';
import { convertEditorGraph, isEditorGraph } from './editor/convert.ts';
import { parseJsonText } from './json-text.ts';
import { type Meta, parseMeta } from './meta.ts';
import { compileSchema } from './schema-compiler.ts';
import { workflowHash } from './workflow-hash.ts';

export const maxWorkflowBytes = 4 * 1024 * 1024;

export interface WorkflowFile {
  readonly name: string;
  readonly text: string;
  /** What its operator says of it beside it; `null` for nothing. */
  readonly meta: string | null;
}

/** What a file is before any server is asked. */
export type ParsedFile =
  | { readonly format: 'api'; readonly name: string; readonly meta: Meta; readonly graph: Graph }
  | {
      readonly format: 'editor';
      readonly name: string;
      readonly meta: Meta;
      readonly file: object;
    };

/**
 * Reads a workflow file as far as that needs no server.
 *
 * @throws GatewayError `workflow_invalid`, its message telling the operator what to mend.
 */
export function parseFile({ name, text, meta }: WorkflowFile): ParsedFile {
  const value = parseLimited(text, 'The file');
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid('The file holds no JSON object');
  }
  const said = parseSidecar(meta);
  if (isEditorGraph(value)) return { format: 'editor', name, meta: said, file: value };
  // A null prototype: no node id means anything to the language.
  const graph: unknown = Object.assign(Object.create(null), value);
  checkGraph(graph);
  return { format: 'api', name, meta: said, graph };
}

/**
 * The workflow of a file. One that the editor saved is converted with what a server says of its nodes.
 *
 * @throws GatewayError `workflow_invalid`; `workflow_unavailable` for an editor's file without a
 *   catalogue.
 */
export function toWorkflow(parsed: ParsedFile, catalogue: NodeCatalogue | null): Workflow {
  const { name, meta } = parsed;
  const { graph, exposures } =
    parsed.format === 'api' ? { graph: parsed.graph, exposures: [] } : converted(parsed, catalogue);
  const { title, description, aliases, scale, timeouts, mayWait, limits, frames } = meta;
  const workflow = {
    name,
    graph,
    title,
    description,
    aliases,
    scale,
    timeouts,
    ...(mayWait === undefined ? {} : { mayWait }),
    ...(limits ? { limits } : {}),
    ...(frames ? { frames } : {}),
    ...findBindings(graph, { ...meta.wishes, exposures }),
  };
  checkDefaults(workflow);
  return { ...workflow, hash: workflowHash(workflow) };
}

/** What an operator says of a parameter has to fit together, and with what stands in the graph. */
function checkDefaults(workflow: Omit<Workflow, 'hash'>): void {
  for (const parameter of workflow.parameters) {
    const { name, default: value, isSeed } = parameter;
    const isGraphs = parameter.slots.every(
      ({ node, field }) => workflow.graph[node]?.inputs[field] === value,
    );
    if (value === undefined || (parameter.schema === null && isGraphs)) continue;
    const fits = compileSchema(schemaOf(parameter, workflow, null))(value);
    if (fits && !(isSeed && value === 'random')) continue;
    const what = isGraphs ? 'the graph has' : 'the default is';
    throw invalid(
      `The parameter ${name}: ${what} ${JSON.stringify(value)}, which its schema does not allow`,
    );
  }
}

/** @throws GatewayError as {@link parseFile} and {@link toWorkflow}. */
export function parseWorkflow(file: WorkflowFile, catalogue: NodeCatalogue | null): Workflow {
  return toWorkflow(parseFile(file), catalogue);
}

function converted(
  { name, file }: Extract<ParsedFile, { format: 'editor' }>,
  catalogue: NodeCatalogue | null,
): { graph: Graph; exposures: BindingWishes['exposures'] } {
  if (!catalogue) {
    throw new GatewayError(
      'workflow_unavailable',
      `The workflow ${name} is in the editor's format, and no ComfyUI server has told its nodes yet`,
    );
  }
  const { graph: whole, exposures } = convertEditorGraph(file, catalogue);
  const graph = withoutIncompleteOutputs(whole, catalogue);
  const isThere = ({ slot }: Exposure) => Object.hasOwn(graph, slot.node);
  return { graph, exposures: exposures.filter(isThere) };
}

function parseSidecar(text: string | null): Meta {
  try {
    if (text !== null) parseLimited(text, 'It');
    return parseMeta(text);
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    throw invalid(`Its .meta.json: ${error.message}`);
  }
}

function parseLimited(text: string, what: string): unknown {
  if (Buffer.byteLength(text) > maxWorkflowBytes) {
    throw invalid(`${what} is larger than ${maxWorkflowBytes / 1024 / 1024} MB`);
  }
  return parseJsonText(text);
}
