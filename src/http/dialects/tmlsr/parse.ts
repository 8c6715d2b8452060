import type { MediaKind } from '../../../core/media.ts';
import type { NewTask } from '../../../core/task.ts';
import type { Workflow } from '../../../core/workflow.ts';
import type { CreateTask } from './schema.ts';

export const dialect = 'tmlsr';

/** Turns a request into a task; `find` tells a workflow by its name. */
export function parseNewTask(
  body: CreateTask,
  find: (name: string) => Pick<Workflow, 'kind'> | null,
): NewTask {
  const named = body.workflow?.replace(/\.json$/i, '') ?? null;
  // A workflow says by itself what it works on; without one, `video` is the documented default.
  const kind = body.type ?? (named ? find(named)?.kind : null) ?? 'video';
  const [width, height] = body.output_dims ?? [];
  return {
    dialect,
    kind,
    source: { url: body.url },
    workflow: named ?? workflowOfModel(body, kind),
    size: {
      outscale: body.outscale ?? null,
      magnification: body.output_magnification ?? null,
      dims: width && height ? { width, height } : null,
    },
    params: withoutNulls(body),
    ...(body.priority == null ? {} : { priority: body.priority }),
    ...(body.queue_timeout == null
      ? {}
      : { queueTimeoutMs: Math.ceil(body.queue_timeout * 1_000) }),
    ...(body.run_timeout == null ? {} : { runTimeoutMs: Math.ceil(body.run_timeout * 1_000) }),
  };
}

/**
 * Old clients name a model, or nothing: one whose name contains `seedvr2` means SeedVR2, anything
 * else ESRGAN, whose model is the one nearest to `outscale`.
 */
function workflowOfModel({ model, outscale }: CreateTask, kind: MediaKind): string {
  if (model?.toLowerCase().includes('seedvr2')) {
    return kind === 'image' ? 'seedvr2_image_4096' : 'seedvr2_video_1080';
  }
  if (kind === 'video') return 'esrgan_video_2x';
  return outscale && outscale <= 2 ? 'esrgan_image_2x' : 'esrgan_image_4x';
}

function withoutNulls(body: CreateTask): Record<string, unknown> {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value != null));
}

/** 32 hex digits, or with dashes; `null` for what can be no id of ours. */
export function parseTaskId(text: string): string | null {
  const hex = text.replaceAll('-', '').toLowerCase();
  if (!/^[0-9a-f]{32}$/.test(hex)) return null;
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

export function presentTaskId(id: string): string {
  return id.replaceAll('-', '');
}
