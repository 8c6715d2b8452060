import type { BackendView, UnloadedWorkflows } from '../../../core/backend.ts';
import type { PictureKind } from '../../../core/media.ts';
import type { Workflow } from '../../../core/workflow.ts';
import { type TaskType, taskTypes } from './schema.ts';

/** A model as clients name it: an alias of a workflow that says in its first word what it is for. */
export interface Model {
  readonly name: string;
  readonly taskType: TaskType;
  readonly workflow: Workflow;
}

/** What a model does, by the beginning of its name. */
export function taskTypeOf(name: string): TaskType | undefined {
  return taskTypes.find((type) => name.toLowerCase().startsWith(type));
}

/** Of pictures and of clips: a name may be there twice. */
export function modelsOf(workflows: readonly Workflow[]): Model[] {
  return workflows.flatMap((workflow) =>
    workflow.aliases.flatMap((name) => {
      const taskType = taskTypeOf(name);
      return taskType ? { name, taskType, workflow } : [];
    }),
  );
}

/** The models among these that do a task on files of a kind. */
export function modelsFor(
  models: readonly Model[],
  taskType: TaskType,
  kind: PictureKind,
): Model[] {
  return models.filter((model) => model.taskType === taskType && model.workflow.kind === kind);
}

export function isNamed({ name }: Model, wanted: string): boolean {
  return name.toLowerCase() === wanted.toLowerCase();
}

/** Each name once, and whether the models of its workflows are in the memory of some backend. */
export function presentModels(
  models: readonly Model[],
  backends: readonly BackendView[],
): { name: string; loaded: boolean }[] {
  const warm = new Set(backends.map(({ report }) => report?.warm));
  const loaded = new Map<string, boolean>();
  for (const { name, workflow } of models) {
    loaded.set(name, (loaded.get(name) ?? false) || warm.has(workflow.name));
  }
  return [...loaded]
    .map(([name, isLoaded]) => ({ name, loaded: isLoaded }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The names by task, for those who let people choose. */
export function presentControls(
  models: readonly Model[],
): Record<PictureKind, Record<TaskType, string[]>> {
  const namesOf = (kind: PictureKind, type: TaskType) =>
    [...new Set(modelsFor(models, type, kind).map(({ name }) => name))].sort();
  const ofKind = (kind: PictureKind) => ({
    denoise: namesOf(kind, 'denoise'),
    deblur: namesOf(kind, 'deblur'),
  });
  return { image: ofKind('image'), video: ofKind('video') };
}

/** Each name once whose model was in the memory of a backend. */
export function namesIn(models: readonly Model[], { unloaded, held }: UnloadedWorkflows): string[] {
  const loaded = models.filter(({ workflow }) => [...unloaded, ...held].includes(workflow.name));
  return [...new Set(loaded.map(({ name }) => name))].sort();
}

/** Which of the names count as unloaded: those that were in memory, and are in none any more. */
export function presentUnloaded(
  names: readonly string[],
  models: readonly Model[],
  { unloaded, held }: UnloadedWorkflows,
): { unloaded_models: string[]; skipped_models: string[] } {
  const isUnloaded = (name: string) => {
    const workflows = models
      .filter((model) => isNamed(model, name))
      .map((each) => each.workflow.name);
    const isOneOf = (those: readonly string[]) => workflows.some((each) => those.includes(each));
    return isOneOf(unloaded) && !isOneOf(held);
  };
  return {
    unloaded_models: names.filter(isUnloaded),
    skipped_models: names.filter((name) => !isUnloaded(name)),
  };
}
