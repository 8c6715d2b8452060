import { GatewayError } from '../../core/errors.ts';
import { type MediaInfo, type MediaKind, withArticle } from '../../core/media.ts';
import type { WorkflowLimits } from '../../core/media-limits.ts';
import type { MediaProbe } from '../../media/probe.ts';
import type { ReportProgress } from '../attempt-journal.ts';
import { transferProgress } from '../format.ts';
import type { SourceReader } from './source-reader.ts';

export interface AcquiredSource {
  /** Where it is spooled. */
  readonly path: string;
  readonly bytes: number;
  /** Hex; `null` where nobody wanted it. */
  readonly sha256: string | null;
  readonly info: MediaInfo;
  /** Rejects when the file does not hold what its header says. */
  readonly checked: Promise<void>;
}

export interface WantedSource {
  readonly url: string;
  /** Whose it is. */
  readonly tenant: string;
  /** What the workflow's input takes. */
  readonly kind: MediaKind;
  /** What the workflow says of its sources. */
  readonly limits: WorkflowLimits;
  readonly wantsSha256: boolean;
  /** Where it goes, and who hears how large it is by now. */
  readonly path: string;
  readonly onBytes: (bytes: number) => void;
}

/**
 * Brings a source onto our disk and finds out what it is, so that nothing which cannot be
 * processed ever reaches a GPU. Its pixels are still being checked when this returns.
 *
 * @throws GatewayError with a `source_…` or `media_…` code.
 */
export async function acquireSource(
  { sourceReader, probe }: { readonly sourceReader: SourceReader; readonly probe: MediaProbe },
  { url, tenant, kind, limits, wantsSha256, path, onBytes }: WantedSource,
  report: ReportProgress,
  signal: AbortSignal,
): Promise<AcquiredSource> {
  const { bytes, sha256 } = await sourceReader.fetch(url, path, {
    onProgress: (received, total) => {
      onBytes(received);
      report(transferProgress(received, total));
    },
    tenant,
    wantsSha256,
    signal,
  });
  onBytes(bytes);
  const { info, checked } = await probe.begin(path, signal, limits);
  if (info.kind !== kind) {
    throw new GatewayError(
      'media_mismatch',
      `The source is ${withArticle(info.kind)} (${info.format}), but the workflow takes ${withArticle(kind)}`,
    );
  }
  return { path, bytes, sha256, info, checked };
}
