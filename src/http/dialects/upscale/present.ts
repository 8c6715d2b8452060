import type { z } from '@hono/zod-openapi';
import { type MediaInfo, pictureOf } from '../../../core/media.ts';
import { overallProgress } from '../../../core/overall-progress.ts';
import type { TaskView } from '../../../tasks/task-service.ts';
import { jobIdOf } from './job-id.ts';
import type { Model } from './models.ts';
import type { models as modelsSchema, status as statusSchema } from './schema.ts';

type StatusBody = z.infer<typeof statusSchema>;
type SizeBody = Extract<StatusBody, { status: 'completed' }>['input_size'];

/** The document knows three states: what waits is `processing` too, and what was canceled `failed`. */
export function presentStatus(task: TaskView): StatusBody {
  const job_id = jobIdOf(task.id);
  const [result] = task.outputs;
  if (task.state === 'completed' && result) {
    return {
      job_id,
      status: 'completed',
      progress: 100,
      download_url: `/api/v1/download/${job_id}`,
      duration_seconds: secondsBetween(task.startedAt, task.finishedAt),
      input_size: sizeOf(result.input),
      output_size: sizeOf(result.output),
      file_size_bytes: result.size,
    };
  }
  if (task.state === 'canceled') return { job_id, status: 'failed', error: 'The job was canceled' };
  if (task.state === 'failed') {
    return { job_id, status: 'failed', error: task.error?.message ?? 'The job has failed' };
  }
  const progress = task.state === 'pending' ? 0 : overallProgress(task.stages);
  return { job_id, status: 'processing', progress: Math.min(progress, 99) };
}

export function presentModel({
  name,
  description,
  scales,
}: Model): z.infer<typeof modelsSchema>['models'][number] {
  return { name, description, supported_scales: [...scales] };
}

/** `photo.jpg` has become `photo_x4.png`. */
export function resultName({ params, size, outputs: [result] }: TaskView): string {
  const original = typeof params.image === 'string' ? params.image : '';
  const stem = original
    .replace(/\.[^.]*$/, '')
    // What file systems do not take, and what leads out of a folder; browsers write quotes as %22.
    .replace(/(?:%22|[\p{Cc}\p{Cf}<>:"/\\|?*])+/gu, '_')
    .replace(/^[. ]+/, '');
  const extension = result?.output?.format ?? result?.key.split('.').at(-1) ?? 'png';
  return `${stem || 'image'}_x${size.magnification}.${extension}`;
}

/**
 * The name twice (RFC 6266 §4.3): clients such as curl understand the plain one alone, and that takes
 * no more than ASCII.
 */
export function attachment(name: string): string {
  const plain = name.replace(/[^\x20-\x7e]/g, '_').replace(/["\\%]/g, '_');
  return `attachment; filename="${plain}"; filename*=UTF-8''${encodeURIComponent(name)}`;
}

function secondsBetween(from: Date | null, to: Date | null): number {
  return from && to ? (to.getTime() - from.getTime()) / 1_000 : 0;
}

/** Known of every picture; clients find numbers here in any case. */
function sizeOf(info: MediaInfo | null): SizeBody {
  const picture = pictureOf(info);
  return { width: picture?.width ?? 0, height: picture?.height ?? 0 };
}
