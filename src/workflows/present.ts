import { keepsTransparency } from '../core/transparency.ts';
import type { Workflow } from '../core/workflow.ts';

/** A workflow as the API and the command line write it; of a file that is none, every field is empty. */
export function presentWorkflow(workflow: Workflow | null) {
  return {
    title: workflow?.title ?? null,
    description: workflow?.description ?? null,
    type: workflow?.kind ?? null,
    hash: workflow?.hash ?? null,
    aliases: [...(workflow?.aliases ?? [])],
    scale: workflow?.scale ?? null,
    keeps_transparency: workflow && keepsTransparency(workflow),
    inputs: (workflow?.inputs ?? []).map(({ name, kind, isRequired, description, slot }) => ({
      name,
      type: kind,
      required: isRequired,
      description,
      ...slot,
    })),
    outputs: (workflow?.outputs ?? []).map(({ name, kind, node }) => ({ name, type: kind, node })),
    bindings: Object.fromEntries(
      (workflow?.parameters ?? []).map(({ name, slots }) => [
        name,
        slots.map((slot) => ({ ...slot })),
      ]),
    ),
  };
}
