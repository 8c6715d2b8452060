import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { ComfyClient } from '../../comfyui/client.ts';
import type { Claim } from '../../core/attempt.ts';
import { GatewayError } from '../../core/errors.ts';
import { contentTypeOf, formatOfName, type MediaFormat, type MediaInfo } from '../../core/media.ts';
import type { SizePlan } from '../../core/size-plan.ts';
import type { TaskOutput } from '../../core/task.ts';
import type { Tempo } from '../../core/tempo.ts';
import type { ByteSource, ObjectStore, OutputTarget } from '../../storage/object-store.ts';
import type { ReportProgress } from '../attempt-journal.ts';
import { transferProgress } from '../format.ts';
import type { ResultFile } from '../process/result-files.ts';
import { SharedProgress } from '../shared-progress.ts';
import { type FormedOutput, type FormParts, formOutput } from './form-output.ts';
import { resultKey, thumbnailKey } from './result-key.ts';
import { isWantOfRoom, TransferPatience } from './transfer-patience.ts';

export interface OutputTransfer {
  readonly claim: Claim;
  readonly client: ComfyClient;
  readonly files: readonly ResultFile[];
  /** What the main input was; `null` where the workflow has none. */
  readonly input: MediaInfo | null;
  /** How the main output gets its size. */
  readonly size: SizePlan;
  /** Waits for its turn among the transfers, for each try anew. */
  readonly inTurn: <T>(work: () => Promise<T>) => Promise<T>;
  /** Hears the key of every object before it is stored, those of thumbnails too. */
  readonly onStoring: (key: string) => void;
  readonly report: ReportProgress;
  readonly signal: AbortSignal;
}

/** One try of it. */
interface OneTransfer extends OutputTransfer {
  /** Hears how many bytes of the result it has moved. */
  readonly onMoved: (bytes: number) => void;
}

export interface OutputParts extends FormParts {
  readonly store: ObjectStore;
  /** An address that a client gave for its main result. */
  readonly targetAt: (url: string) => OutputTarget;
  readonly tempo: Pick<Tempo, 'transfer'>;
}

/**
 * Streams the outputs from their backend into the store, one after the other. A transfer that fails is
 * repeated from the file that is still there: what the GPU made is not made again.
 *
 * @throws GatewayError `output_missing`, `output_truncated`, `storage_failed`, `target_…`,
 *   `backend_…`, `storage_full`; as `formOutput`.
 */
export async function storeOutputs(
  parts: OutputParts,
  transfer: OutputTransfer,
): Promise<TaskOutput[]> {
  const { claim, files, report } = transfer;
  const progress = new SharedProgress(report, files.length);
  const outputs: TaskOutput[] = [];
  for (const [index, file] of files.entries()) {
    const part = progress.part(index);
    const output = await storeOutput(parts, { ...transfer, report: part }, file, index === 0);
    outputs.push(output);
    part({ progress: 100, detail: null });
  }
  await parts.spool.clear(claim.attempt.id);
  return outputs;
}

async function storeOutput(
  parts: OutputParts,
  transfer: OutputTransfer,
  file: ResultFile,
  isMain: boolean,
): Promise<TaskOutput> {
  const { inTurn, report, signal } = transfer;
  const keys: string[] = [];
  const onStoring = (key: string) => {
    keys.push(key);
    transfer.onStoring(key);
  };
  const patience = new TransferPatience(parts.tempo.transfer);
  const onMoved = (bytes: number) => patience.moved(bytes);
  const once = { ...transfer, onStoring, onMoved };
  for (;;) {
    try {
      return await inTurn(() => transferOnce(parts, once, file, isMain));
    } catch (error) {
      signal.throwIfAborted();
      const pauseMs = patience.pauseMs(error);
      if (pauseMs === null) {
        await abandon(parts.store, keys, parts.tempo.transfer.abandonDeadlineMs);
        throw error;
      }
      // What is waited for may be this room.
      await parts.spool.clear(transfer.claim.attempt.id);
      const isFull = isWantOfRoom(error);
      const detail = isFull ? 'Waiting for room for the result' : 'Upload failed, trying again';
      report({ progress: 0, detail });
      await delay(pauseMs * (0.5 + Math.random() / 2), undefined, { signal });
    }
  }
}

/** What was kept for another try, which will not be made. */
async function abandon(
  store: ObjectStore,
  keys: readonly string[],
  deadlineMs: number,
): Promise<void> {
  const deadline = AbortSignal.timeout(deadlineMs);
  const abandoned = keys.map((key) => store.abandon(key, deadline).catch(() => {}));
  await Promise.all(abandoned);
}

async function transferOnce(
  parts: OutputParts,
  { claim, client, input, size: plan, onStoring, onMoved, report, signal }: OneTransfer,
  result: ResultFile,
  isMain: boolean,
): Promise<TaskOutput> {
  const { store } = parts;
  const { thumbnailDeadlineMs } = parts.tempo.transfer;
  const made = await openSource(client, result.file, signal);
  const wanted = {
    owner: claim.attempt.id,
    delivery: claim.task.delivery,
    size: isMain && plan.by === 'gateway' ? plan.size : null,
  };
  const formed = await formOutput(parts, made, wanted, signal);
  const { source, info: output } = formed;
  const named = formatOfName(result.file.filename);
  const format = formed.format ?? named;
  const contentType = format ? contentTypeOf(format) : 'application/octet-stream';
  const key = resultKey(claim.task, claim.attempt.number, {
    output: result.output.name,
    index: result.index,
    isMain,
    extension: extensionOf(result, format === named ? null : format),
  });
  // It is made while the result is stored.
  const thumbnail = formed.thumbnail(
    AbortSignal.any([signal, AbortSignal.timeout(thumbnailDeadlineMs)]),
  );
  thumbnail.catch(() => {});
  const putUrl = isMain ? claim.task.delivery.putUrl : null;
  const target = putUrl ? parts.targetAt(putUrl) : store;
  onStoring(key);
  const { size, sha256 } = await target.put(key, source, {
    contentType,
    onProgress: (stored) => {
      onMoved(stored);
      report(transferProgress(stored, source.size));
    },
    // A gateway that takes the attempt over goes on with the parts that are there.
    resumes: true,
    signal,
  });
  const storedThumbnail = await storeThumbnail(
    { store, onStoring, deadlineMs: thumbnailDeadlineMs },
    key,
    thumbnail,
    signal,
  );
  const delivered = putUrl ? { deliveredTo: withoutQuery(putUrl) } : {};
  const { name } = result.output;
  const stored = { name, key, ...delivered, thumbnailKey: storedThumbnail, size, sha256 };
  return { ...stored, contentType, input, output };
}

interface ThumbnailParts {
  readonly store: ObjectStore;
  readonly onStoring: (key: string) => void;
  /** For storing it. */
  readonly deadlineMs: number;
}

/** A result without a thumbnail is better than none: `null` where it cannot be had, or not soon. */
async function storeThumbnail(
  { store, onStoring, deadlineMs }: ThumbnailParts,
  objectKey: string,
  thumbnail: ReturnType<FormedOutput['thumbnail']>,
  signal: AbortSignal,
): Promise<string | null> {
  try {
    const bytes = await thumbnail;
    if (!bytes) return null;
    const key = thumbnailKey(objectKey);
    onStoring(key);
    const source: ByteSource = {
      size: bytes.length,
      open: async (range) =>
        Readable.from([range ? bytes.subarray(range.start, range.end + 1) : bytes]),
    };
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(deadlineMs)]);
    await store.put(key, source, { contentType: contentTypeOf('webp'), signal: deadline });
    return key;
  } catch {
    signal.throwIfAborted();
    return null;
  }
}

async function openSource(
  client: ComfyClient,
  file: ResultFile['file'],
  signal: AbortSignal,
): Promise<ByteSource> {
  const size = await client.fileSize(file, signal);
  if (!size) {
    throw new GatewayError('output_missing', 'The ComfyUI server does not have the result', {
      detail: { ...file, size },
    });
  }
  return { size, open: (range, signal) => client.openOutput(file, range, signal) };
}

/** What it is, or else what the file's name says. */
function extensionOf({ file: { filename } }: ResultFile, format: MediaFormat | null): string {
  return format ?? filename.slice(filename.lastIndexOf('.') + 1).replace(/[^A-Za-z0-9]/g, '');
}

/** Whoever has the query of a presigned address may write there. */
function withoutQuery(url: string): string {
  const { origin, pathname } = new URL(url);
  return origin + pathname;
}
