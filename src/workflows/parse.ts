import { createHash } from 'node:crypto';
import { z } from 'zod';
import {
  describeGraph,
  type Graph,
  invalid,
  type Timeouts,
  type Workflow,
} from '../core/workflow.ts';

const maxBytes = 1024 * 1024;

const node = z.looseObject({
  class_type: z.string(),
  inputs: z.record(z.string(), z.unknown()),
  _meta: z.looseObject({ title: z.string().optional() }).optional(),
});

/**
 * Reads a workflow file, and what its operator says of it in `NAME.meta.json`.
 *
 * @throws GatewayError `workflow_invalid`, its message telling the operator what to mend.
 */
export function parseWorkflow(name: string, text: string, metaText: string | null): Workflow {
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
  return { name, graph, hash, timeouts: parseTimeouts(metaText), ...describeGraph(graph) };
}

/** What may stand in `NAME.meta.json` beside the graph. */
const meta = z.looseObject({
  queue_timeout: z.number().min(0).optional(),
  run_timeout: z.number().min(0).optional(),
});

function parseTimeouts(text: string | null): Timeouts {
  if (text === null) return {};
  const parsed = meta.safeParse(parseJson(text));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw invalid(`Its .meta.json: ${issue?.path.join('.') || 'it'}: ${issue?.message}`);
  }
  const { queue_timeout: queue, run_timeout: run } = parsed.data;
  return {
    ...(queue === undefined ? {} : { queueMs: secondsToMs(queue) }),
    ...(run === undefined ? {} : { runMs: secondsToMs(run) }),
  };
}

/** 0 stands for no limit. */
function secondsToMs(seconds: number): number | null {
  return seconds === 0 ? null : Math.ceil(seconds * 1_000);
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
