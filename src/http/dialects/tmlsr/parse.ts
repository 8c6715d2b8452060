import { deliveryAsUsual } from '../../../core/delivery.ts';
import { invalidField } from '../../../core/errors.ts';
import type { MediaKind } from '../../../core/media.ts';
import { type ResultKind, severalOf } from '../../../core/result-format.ts';
import type { TaskRequest } from '../../../core/task.ts';
import { uuidOfHex } from '../../../core/uuid.ts';
import { withoutQuery } from '../../../core/without-query.ts';
import type { Workflow } from '../../../core/workflow.ts';
import { type IgnoredField, unknownFields } from '../../ignored-fields.ts';
import { type CreateTask, createTask } from './schema.ts';

export const dialect = 'tmlsr';

/** How a workflow is found that old clients name by a model. */
export interface WorkflowAliases {
  findByAlias(
    model: string,
    isMeant: (workflow: Workflow) => boolean,
  ): Pick<Workflow, 'name'> | null;
}

/**
 * What the request says and means nothing by.
 *
 * @param names Of all that the client wrote.
 * @throws GatewayError `invalid_request` for a name that the request does not have, where such are refused.
 */
export function ignoredIn(
  { output_dims: dims, output_magnification: magnification }: CreateTask,
  names: Iterable<string>,
  isRefused: boolean,
): IgnoredField[] {
  const unknown = unknownFields(names, createTask.keyof().options, isRefused);
  if (dims == null || magnification == null) return unknown;
  return [...unknown, { field: 'output_magnification', reason: 'output_dims holds' }];
}

/** Whether the request leaves it to its file what is to be done. */
export function leavesKindOpen({ type, workflow, model }: CreateTask): boolean {
  return type == null && workflow == null && model == null;
}

/**
 * Turns a request into a task.
 *
 * @param fileKind What the file is, where the request leaves it to that and it can be told.
 * @throws GatewayError `invalid_request` for a request that names neither a file nor what is to be done.
 */
export function parseTaskRequest(
  body: CreateTask,
  workflows: WorkflowAliases,
  fileKind: MediaKind | null = null,
): TaskRequest {
  if (leavesKindOpen(body) && body.url == null && Object.keys(body.inputs ?? {}).length === 0) {
    throw invalidField('url', 'is missing: the address of a picture or a clip');
  }
  const named = body.workflow?.replace(/\.json$/i, '') ?? null;
  // A workflow says by itself what it works on; where nothing tells, `video` is the documented default.
  const kind = body.type ?? (named ? null : (fileKind ?? 'video'));
  const [width, height] = body.output_dims ?? [];
  return {
    dialect,
    kind,
    url: body.url ?? null,
    inputs: body.inputs ?? {},
    workflow: named ?? workflowOfModel(body, kind ?? 'video', workflows),
    size: {
      outscale: body.outscale ?? null,
      magnification: body.output_magnification ?? null,
      dims: width && height ? { width, height } : null,
    },
    delivery: {
      ...deliveryAsUsual,
      format: body.format ?? null,
      quality: body.quality ?? null,
      keepsMetadata: body.keep_metadata ?? false,
      putUrl: body.target_url ?? null,
    },
    params: withoutNulls(body),
    ...(body.priority == null ? {} : { priority: body.priority }),
    ...(body.queue_timeout == null
      ? {}
      : { queueTimeoutMs: Math.ceil(body.queue_timeout * 1_000) }),
    ...(body.queue_when_unavailable == null ? {} : { mayWait: body.queue_when_unavailable }),
    ...(body.run_timeout == null ? {} : { runTimeoutMs: Math.ceil(body.run_timeout * 1_000) }),
  };
}

/**
 * Old clients name a model, or nothing. A workflow may say that it stands for that model; otherwise one
 * whose name contains `seedvr2` means SeedVR2, anything else ESRGAN, whose model is the one nearest to
 * `outscale`.
 */
function workflowOfModel(
  { model, outscale }: CreateTask,
  kind: ResultKind,
  workflows: WorkflowAliases,
): string {
  const isMeant = (workflow: Workflow) =>
    workflow.kind === kind && (outscale == null || (workflow.scale ?? outscale) >= outscale);
  const known = model ? workflows.findByAlias(model, isMeant) : null;
  if (known) return known.name;
  if (kind !== 'image' && kind !== 'video') {
    throw invalidField('workflow', `is missing: which one is to work on ${severalOf(kind)}`);
  }
  if (model?.toLowerCase().includes('seedvr2')) {
    return kind === 'image' ? 'seedvr2_image_4096' : 'seedvr2_video_1080';
  }
  if (kind === 'video') {
    return outscale && outscale > 2 ? 'esrgan_video_4x' : 'esrgan_video_2x';
  }
  return outscale && outscale <= 2 ? 'esrgan_image_2x' : 'esrgan_image_4x';
}

function withoutNulls(body: CreateTask): Record<string, unknown> {
  const given = Object.entries(body).filter(([, value]) => value != null);
  const params: Record<string, unknown> = Object.fromEntries(given);
  // Whoever has the query of a presigned address may write there.
  if (body.target_url != null) params.target_url = withoutQuery(body.target_url);
  return params;
}

/** 32 hex digits, or with dashes; `null` for what can be no id of ours. */
export function parseTaskId(text: string): string | null {
  return uuidOfHex(text.replaceAll('-', '').toLowerCase());
}

export function presentTaskId(id: string): string {
  return id.replaceAll('-', '');
}
