import type { StageProgress } from '../core/stage.ts';
import type { TaskOutput } from '../core/task.ts';

/** `12.3MB / 45.6MB`, and how much of the whole that is. */
export function transferProgress(bytes: number, total: number | null): StageProgress {
  if (!total) return { progress: 0, detail: megabytes(bytes) };
  return {
    progress: Math.min(99, Math.floor((bytes / total) * 100)),
    detail: `${megabytes(bytes)} / ${megabytes(total)}`,
  };
}

/** How fast that is, such as `12KB/s`. */
export function speed(bytes: number, ms: number): string {
  const perSecond = bytes / (ms / 1_000);
  return perSecond < 1024 ** 2
    ? `${Math.round(perSecond / 1024)}KB/s`
    : `${megabytes(perSecond)}/s`;
}

export function megabytes(bytes: number): string {
  const count = bytes / 1024 ** 2;
  return `${count.toFixed(count < 1 ? 2 : 1)}MB`;
}

/** How large they are together. */
export function megabytesOf(outputs: readonly TaskOutput[]): string {
  return megabytes(outputs.reduce((sum, { size }) => sum + size, 0));
}
