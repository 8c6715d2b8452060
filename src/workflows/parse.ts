import { createHash } from 'node:crypto';
import { z } from 'zod';
import { describeGraph, type Graph, invalid, type Workflow } from '../core/workflow.ts';

const maxBytes = 1024 * 1024;

const node = z.looseObject({
  class_type: z.string(),
  inputs: z.record(z.string(), z.unknown()),
  _meta: z.looseObject({ title: z.string().optional() }).optional(),
});

/**
 * Reads a workflow file.
 *
 * @throws GatewayError `workflow_invalid`, its message telling the operator what to mend.
 */
export function parseWorkflow(name: string, text: string): Workflow {
  if (Buffer.byteLength(text) > maxBytes) throw invalid('The file is larger than 1 MB');
  const value = parseJson(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid('The file holds no JSON object');
  }
  if ('nodes' in value && 'links' in value) {
    throw invalid(
      "The file is in the editor's own format; in ComfyUI, choose Workflow > Export (API) instead",
    );
  }
  const graph = toGraph(value);
  const hash = createHash('sha256').update(text).digest('hex');
  return { name, graph, hash, ...describeGraph(graph) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw invalid(`The file is not JSON: ${error instanceof Error ? error.message : error}`);
  }
}

function toGraph(value: object): Graph {
  const entries = Object.entries(value).map(([id, candidate]) => {
    const parsed = node.safeParse(candidate);
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw invalid(`Node ${id}: ${issue?.path.join('.') || 'it'}: ${issue?.message}`);
    }
    return [id, parsed.data] as const;
  });
  // A null prototype: no node id means anything to the language.
  return Object.assign(Object.create(null), Object.fromEntries(entries)) as Graph;
}
