import { GatewayError } from '../core/errors.ts';
import type { MediaInfo } from '../core/media.ts';
import type { Task } from '../core/task.ts';
import type { SourceFetcher } from '../media/fetch-source.ts';
import type { MediaProbe } from '../media/probe.ts';
import type { ReportProgress } from './attempt-journal.ts';
import { transferProgress } from './format.ts';

export interface AcquiredSource {
  /** Where it is spooled. */
  readonly path: string;
  readonly bytes: number;
  readonly info: MediaInfo;
  /** Rejects when the file does not hold what its header says. */
  readonly checked: Promise<void>;
}

/** Where it goes, and who hears how large it is by now. */
interface SpoolFile {
  readonly path: string;
  readonly onBytes: (bytes: number) => void;
}

/**
 * Brings the source onto our disk and finds out what it is, so that nothing which cannot be
 * processed ever reaches a GPU. Its pixels are still being checked when this returns.
 *
 * @throws GatewayError with a `source_…` or `media_…` code.
 */
export async function acquireSource(
  { fetcher, probe }: { readonly fetcher: SourceFetcher; readonly probe: MediaProbe },
  task: Task,
  { path, onBytes }: SpoolFile,
  report: ReportProgress,
  signal: AbortSignal,
): Promise<AcquiredSource> {
  const { bytes } = await fetcher.fetch(task.source.url, path, {
    onProgress: (received, total) => {
      onBytes(received);
      report(transferProgress(received, total));
    },
    signal,
  });
  onBytes(bytes);
  const { info, checked } = await probe.begin(path, signal);
  if (info.kind !== task.kind) {
    throw new GatewayError(
      'media_mismatch',
      `The source is ${article(info.kind)} (${info.format}), but the task and its workflow are for ${article(task.kind)}`,
    );
  }
  return { path, bytes, info, checked };
}

function article(kind: MediaInfo['kind']): string {
  return kind === 'image' ? 'an image' : 'a video';
}
