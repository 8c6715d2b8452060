import { createHash } from 'node:crypto';
import { canonicalJson } from '../core/canonical-json.ts';
import type { Workflow } from '../core/workflow.ts';

/**
 * sha256, hex, of all that decides what runs, and of nothing else: what is only said of a workflow
 * makes no new version. It is the same on every gateway.
 */
export function workflowHash(workflow: Omit<Workflow, 'hash'>): string {
  const { kind, scale, inputs, outputs, parameters, resolution, frames } = workflow;
  const graph = Object.entries(workflow.graph).map(([id, { class_type, inputs: values }]) => [
    id,
    { class_type, inputs: values },
  ]);
  const deciding = {
    kind,
    scale,
    resolution,
    // A workflow from before there were any keeps its hash.
    ...(frames ? { frames } : {}),
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
  return createHash('sha256').update(canonicalJson(deciding)).digest('hex');
}
