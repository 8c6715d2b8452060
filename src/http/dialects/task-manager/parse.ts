import { deliveryAsUsual, type EncodedFormat, encodedFormats } from '../../../core/delivery.ts';
import { GatewayError } from '../../../core/errors.ts';
import { formatOfName } from '../../../core/media.ts';
import type { Task, TaskRequest } from '../../../core/task.ts';
import { withoutQuery } from '../../../core/without-query.ts';
import type { Workflow } from '../../../core/workflow.ts';
import { parameters, type SubmitTask } from './schema.ts';
import type { TaskManagerSettings } from './settings.ts';

export const dialect = 'task-manager';

export interface WorkflowsByName {
  find(name: string): Pick<Workflow, 'outputs'> | null;
  /** `null`: nothing of that name lies in the folder. */
  entry(name: string): object | null;
}

/**
 * Turns a request into a task.
 *
 * @throws GatewayError `workflow_unknown` for a task name that there is not; `workflow_unavailable` for
 *   one whose workflow there is not; `invalid_request`.
 */
export function parseTaskRequest(
  body: SubmitTask,
  { taskNames, queueTimeoutMs }: Pick<TaskManagerSettings, 'taskNames' | 'queueTimeoutMs'>,
  workflows: WorkflowsByName,
): TaskRequest {
  const workflow = taskNames.get(body.task_name);
  if (workflow === undefined) {
    const known = [...taskNames.keys()].join(', ') || 'none';
    const message = `there is no task ${body.task_name}; known: ${known}`;
    throw new GatewayError('workflow_unknown', message, { field: 'task_name' });
  }
  if (!workflows.entry(workflow)) {
    const message = `the workflow ${workflow} that it stands for is not there`;
    throw new GatewayError('workflow_unavailable', message, { field: 'task_name' });
  }
  const { image_url, upload_url, ...inputs } = callOf(body);
  return {
    dialect,
    kind: null,
    workflow,
    url: image_url,
    inputs,
    size: { outscale: null, magnification: null, dims: null },
    delivery: {
      ...deliveryAsUsual,
      format: upload_url === null ? null : formatFor(upload_url, workflows.find(workflow)),
      putUrl: upload_url,
    },
    params: asWritten(body),
    queueTimeoutMs,
    ...(body.priority == null ? {} : { priority: body.priority }),
  };
}

/** The name under which a task of this dialect was asked for; `null` for others. */
export function taskNameOf({
  dialect: own,
  params,
}: Pick<Task, 'dialect' | 'params'>): string | null {
  return own === dialect ? String(params.task_name) : null;
}

interface Call extends Record<(typeof parameters)[number], string | null> {
  /** Inputs and parameters of the workflow. */
  readonly [name: string]: unknown;
}

/** What is given by position and what by name, as Python puts them together. */
function callOf({ args, kwargs }: SubmitTask): Call {
  const named = Object.entries(kwargs ?? {}).filter(([, value]) => value !== null);
  const call: Record<string, unknown> = Object.fromEntries(named);
  for (const [position, name] of parameters.entries()) {
    const value = args?.[position] ?? null;
    if (value !== null && Object.hasOwn(call, name)) {
      throw new GatewayError('invalid_request', 'is given twice, in args and in kwargs', {
        field: name,
      });
    }
    call[name] ??= value;
  }
  return call as Call;
}

/** A picture that goes to `…/output.jpg` is to be a JPEG, whatever the workflow writes. */
function formatFor(
  uploadUrl: string,
  workflow: Pick<Workflow, 'outputs'> | null,
): EncodedFormat | null {
  if (workflow?.outputs[0]?.kind !== 'image') return null;
  const promised = formatOfName(URL.parse(uploadUrl)?.pathname ?? '');
  return encodedFormats.find((format) => format === promised) ?? null;
}

/** Whoever has the query of a presigned address may write there. */
function asWritten({ args, kwargs, ...body }: SubmitTask): Record<string, unknown> {
  const [imageUrl, uploadUrl] = args ?? [];
  const given = Object.entries({
    ...body,
    args:
      args && [imageUrl, uploadUrl == null ? null : withoutQuery(uploadUrl)].slice(0, args.length),
    kwargs: kwargs && {
      ...kwargs,
      ...(kwargs.upload_url ? { upload_url: withoutQuery(kwargs.upload_url) } : {}),
    },
  });
  return Object.fromEntries(given.filter(([, value]) => value != null));
}
