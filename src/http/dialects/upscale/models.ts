import type { Workflow } from '../../../core/workflow.ts';

/** How many times the sides of its picture a job may ask for. */
export const scales = [2, 3, 4] as const;
export type Scale = (typeof scales)[number];

export const defaultModel = 'realesrgan-x4plus';

/** What clients call a model: the workflows that bear its name. */
export interface Model {
  readonly name: string;
  readonly description: string;
  readonly scales: readonly Scale[];
}

/**
 * The models of these workflows, each by the first name that one of them has; the default one first,
 * because clients offer them in this order.
 */
export function listModels(workflows: readonly Workflow[]): Model[] {
  const names = new Map(
    workflows.filter(isUpscaler).flatMap(({ aliases: [first] }) => {
      return first ? [[first.toLowerCase(), first] as const] : [];
    }),
  );
  const models = [...names.values()].map((name) => describe(name, workflows));
  return models.sort((a, b) => Number(isDefault(b)) - Number(isDefault(a)));
}

/**
 * The workflow of the model that makes a picture so many times as large, or that makes it larger still
 * by the least: its result is then made smaller. `null` where the model is not there, or not so large.
 */
export function workflowFor(
  model: string,
  scale: number,
  workflows: readonly Workflow[],
): Workflow | null {
  const able = workflowsOf(model, workflows).filter((workflow) => scaleOf(workflow) >= scale);
  return able.toSorted((a, b) => scaleOf(a) - scaleOf(b))[0] ?? null;
}

/** Also by names that are not listed, as is said of a workflow. */
export function scalesOf(model: string, workflows: readonly Workflow[]): Scale[] {
  return scales.filter((scale) => workflowFor(model, scale, workflows) !== null);
}

function describe(name: string, workflows: readonly Workflow[]): Model {
  const known = workflowsOf(name, workflows);
  const text = known.map(({ description, title }) => description ?? title).find(Boolean);
  return { name, description: text ?? name, scales: scalesOf(name, workflows) };
}

function workflowsOf(model: string, workflows: readonly Workflow[]): Workflow[] {
  const wanted = model.toLowerCase();
  const bears = ({ aliases }: Workflow) => aliases.some((alias) => alias.toLowerCase() === wanted);
  return workflows.filter((workflow) => isUpscaler(workflow) && bears(workflow));
}

/** One that makes a larger picture of a picture, with nothing else to be given. */
function isUpscaler({
  kind,
  scale,
  inputs: [main, ...others],
  outputs: [made],
}: Workflow): boolean {
  const takesPicture = kind === 'image' && main?.kind === 'image';
  const isEnough = others.every(({ isRequired }) => !isRequired);
  return takesPicture && isEnough && made?.kind === 'image' && (scale ?? 0) >= scales[0];
}

function scaleOf({ scale }: Workflow): number {
  return scale ?? 0;
}

function isDefault({ name }: Model): boolean {
  return name.toLowerCase() === defaultModel;
}
