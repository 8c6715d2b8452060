import { formatsOf } from '../core/bindings/made-formats.ts';
import { type ResultKind, resultTypeOf } from '../core/result-format.ts';
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
    outputs: (workflow?.outputs ?? []).map(({ name, kind, node }) => ({
      name,
      type: kind,
      content_types: contentTypes(workflow, node, kind),
      node,
    })),
    bindings: Object.fromEntries(
      (workflow?.parameters ?? []).map(({ name, slots }) => [
        name,
        slots.map((slot) => ({ ...slot })),
      ]),
    ),
  };
}

/** As the node writes its files; a text that is only shown becomes one. */
function contentTypes(workflow: Workflow | null, id: string, kind: ResultKind): string[] {
  const node = workflow && Object.hasOwn(workflow.graph, id) ? workflow.graph[id] : undefined;
  const formats = node ? formatsOf(node) : [];
  const usual = kind === 'text' && formats.length === 0 ? (['txt'] as const) : formats;
  return usual.map(resultTypeOf);
}
