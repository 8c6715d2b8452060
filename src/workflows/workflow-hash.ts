import { createHash } from 'node:crypto';
import type { Workflow } from '../core/workflow.ts';

/**
 * sha256, hex, of all that decides what runs, and of nothing else: what is only said of a workflow
 * makes no new version. It is the same on every gateway.
 */
export function workflowHash(workflow: Omit<Workflow, 'hash'>): string {
  const { kind, scale, inputs, outputs, parameters, resolution } = workflow;
  const graph = Object.entries(workflow.graph).map(([id, { class_type, inputs: values }]) => [
    id,
    { class_type, inputs: values },
  ]);
  const deciding = {
    kind,
    scale,
    resolution,
    graph: Object.fromEntries(graph),
    inputs: inputs.map(({ name, kind: inputKind, slot, isRequired }) => ({
      name,
      kind: inputKind,
      slot,
      isRequired,
    })),
    outputs,
    parameters: parameters.map(({ name, slots, default: value }) => ({
      name,
      slots,
      default: value,
    })),
  };
  return createHash('sha256')
    .update(JSON.stringify(sorted(deciding)))
    .digest('hex');
}

/** The same value with every object's keys in one order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  // Lists of pairs: an object puts names that are numbers first.
  return entries.map(([key, each]) => [key, sorted(each)]);
}
