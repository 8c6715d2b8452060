import { GatewayError } from '../../core/errors.ts';
import { type MediaInfo, type MediaKind, mediaKinds, withArticle } from '../../core/media.ts';
import type { WorkflowLimits } from '../../core/media-limits.ts';
import type { ResultKind } from '../../core/result-format.ts';
import type { SourceNote, StoredSource } from '../../core/source-note.ts';
import type { Workflow } from '../../core/workflow.ts';
import type { MediaProbe } from '../../media/probe.ts';
import type { SentFile } from '../../media/probed.ts';
import { interrupted } from '../../media/source-errors.ts';
import type { SpoolFile } from '../../media/spool.ts';
import type { ReportProgress } from '../attempt-journal.ts';
import { transferProgress } from '../format.ts';
import type { SourceReader } from './source-reader.ts';

/** The client's file, by whose bytes twins know each other, and what a server gets of it. */
export interface AcquiredSource extends SourceNote {
  /** Where it is spooled. */
  readonly path: string;
  /** The file itself, or a plain picture made of it; `null` for a file of before, still to be looked into. */
  readonly sent: SentFile | null;
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
  /** What its backend gets of an animation. */
  readonly frames: 'first' | 'all';
  readonly wantsSha256: boolean;
  /** What another gateway has made of it; `null` where it has to be read from its address. */
  readonly stored: StoredSource | null;
  /** Where it goes, and who hears how large it is by now. */
  readonly path: string;
  readonly onBytes: (bytes: number) => void;
  /** Where a plain picture goes that is made of it. */
  readonly plain: SpoolFile;
}

/** What the workflow takes at that input. */
export function takenAt(
  workflow: Workflow,
  input: string,
  usual: ResultKind,
): Pick<WantedSource, 'kind' | 'limits' | 'frames'> {
  const found = workflow.inputs.find(({ name }) => name === input);
  const kind = found?.kind ?? mediaKinds.find((each) => each === usual) ?? 'image';
  return { kind, limits: workflow.limits ?? {}, frames: workflow.frames ?? 'first' };
}

/**
 * Brings a source onto our disk and finds out what it is, so that nothing which cannot be
 * processed ever reaches a GPU. Its pixels are still being checked when this returns.
 *
 * @throws GatewayError with a `source_…` or `media_…` code.
 */
export async function acquireSource(
  { sourceReader, probe }: { readonly sourceReader: SourceReader; readonly probe: MediaProbe },
  { url, tenant, kind, limits, frames, wantsSha256, stored, path, onBytes, plain }: WantedSource,
  report: ReportProgress,
  signal: AbortSignal,
): Promise<AcquiredSource> {
  const onProgress = (received: number, total: number | null) => {
    onBytes(received);
    report(transferProgress(received, total));
  };
  if (stored) {
    const { key, note } = stored;
    const options = { onProgress, wantsSha256: note.sha256 !== null, signal };
    const copy = await sourceReader.fetchObject(key, path, options);
    if (copy.bytes !== note.bytes || copy.sha256 !== note.sha256) throw interrupted();
    return { path, ...note, sent: null, checked: Promise.resolve() };
  }
  const { bytes, sha256 } = await sourceReader.fetch(url, path, {
    onProgress,
    tenant,
    wantsSha256,
    signal,
  });
  onBytes(bytes);
  const wish = { plain, frames, isChecked: false };
  const { info, made, checked } = await probe.begin(path, signal, limits, wish);
  if (info.kind !== kind) {
    throw new GatewayError(
      'media_mismatch',
      `The source is ${withArticle(info.kind)} (${info.format}), but the workflow takes ${withArticle(kind)}`,
    );
  }
  refuseUnusualSound(info);
  const sent = made ?? { path, bytes, format: info.format };
  return { path, bytes, sha256, info, sent, checked };
}

/** More channels become noise on some versions of ComfyUI, and end the encoder's process on others. */
function refuseUnusualSound(info: MediaInfo): void {
  if (info.kind !== 'audio' || info.channels <= 2) return;
  throw new GatewayError(
    'media_unsupported',
    `The sound has ${info.channels} channels; mix it down to two: ffmpeg -i in.${info.format} -ac 2 out.flac`,
  );
}

/** Of a file that whoever had it before has looked at, what a server gets. */
export async function sentOf(
  probe: MediaProbe,
  { path, bytes, info }: Pick<AcquiredSource, 'path' | 'bytes' | 'info'>,
  { limits, frames, plain }: Pick<WantedSource, 'limits' | 'frames' | 'plain'>,
  signal: AbortSignal,
): Promise<Pick<AcquiredSource, 'info'> & { readonly sent: SentFile }> {
  if (info.kind !== 'image') return { info, sent: { path, bytes, format: info.format } };
  const looked = await probe.begin(path, signal, limits, { plain, frames, isChecked: true });
  const sent = looked.made ?? { path, bytes, format: looked.info.format };
  return { info: looked.info, sent };
}
