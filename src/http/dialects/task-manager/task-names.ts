import type { z } from '@hono/zod-openapi';
import type { DialectParts } from '../../dialect.ts';
import { parameters, type taskNameList } from './schema.ts';
import type { TaskManagerSettings } from './settings.ts';

type TaskName = z.infer<typeof taskNameList>['task_names'][number];

/** What clients may ask for, in alphabetical order. */
export async function listTaskNames({
  tasks,
  registry,
  settings,
}: Pick<DialectParts, 'tasks' | 'registry'> & {
  readonly settings: Pick<TaskManagerSettings, 'taskNames'>;
}): Promise<TaskName[]> {
  const runnable = new Set(
    (await tasks.workflows(null)).filter(({ runsOn }) => runsOn > 0).map(({ name }) => name),
  );
  const names = [...settings.taskNames].map(([task_name, workflow]) => {
    const found = registry.find(workflow);
    const own = [...(found?.inputs.slice(1) ?? []), ...(found?.parameters ?? [])];
    return {
      task_name,
      workflow,
      description: found?.description ?? null,
      kind: found?.kind ?? null,
      parameters: [...parameters, ...own.map(({ name }) => name)],
      available: runnable.has(workflow),
    };
  });
  return names.sort((a, b) => (a.task_name < b.task_name ? -1 : 1));
}
