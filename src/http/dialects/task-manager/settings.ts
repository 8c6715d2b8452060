import { z } from 'zod';
import { entries, orNone, parsed, seconds, wholeNumber } from '../../../config/fields.ts';

/** What an operator settles for this dialect's clients. */
export interface TaskManagerSettings {
  /** Workflows, by the names of tasks under which they are asked for. */
  readonly taskNames: ReadonlyMap<string, string>;
  /** How long a task may wait before it is begun; `null` for ever. */
  readonly queueTimeoutMs: number | null;
  /** How long a request is held that waits for the end of its task. */
  readonly syncTimeoutMs: number;
}

const schemas = {
  TASK_NAMES: z
    .string()
    .default('image_super_resolution_pipeline=esrgan_image_4x')
    .transform(parsed(parseTaskNames)),
  TASK_MANAGER_QUEUE_TIMEOUT: seconds().default(30),
  TASK_MANAGER_SYNC_TIMEOUT: wholeNumber(1, 86_400).default(300),
};

export const settings = { schemas, prefix: 'TASK_MANAGER_' };

export function settingsOf(read: z.output<z.ZodObject<typeof schemas>>): TaskManagerSettings {
  return {
    taskNames: read.TASK_NAMES,
    queueTimeoutMs: orNone(read.TASK_MANAGER_QUEUE_TIMEOUT * 1_000),
    syncTimeoutMs: read.TASK_MANAGER_SYNC_TIMEOUT * 1_000,
  };
}

/** `image_super_resolution_pipeline=esrgan_image_4x,…`; which workflows there are may change. */
function parseTaskNames(text: string): ReadonlyMap<string, string> {
  const workflows = new Map<string, string>();
  for (const [index, entry] of entries(text).entries()) {
    const [, name, workflow] =
      /^([\w.-]{1,100})\s*=\s*([^=]{1,200}?)(?:\.json)?$/i.exec(entry) ?? [];
    if (!name || !workflow) throw new Error(`entry ${index + 1} is not task_name=workflow`);
    if (workflows.has(name)) throw new Error(`${name} stands for a workflow already`);
    workflows.set(name, workflow);
  }
  return workflows;
}
