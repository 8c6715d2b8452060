import { Readable } from 'node:stream';
import type { ComfyClient } from '../../comfyui/client.ts';
import { type Claim, resultOwnerOf } from '../../core/attempt.ts';
import { cutBytes } from '../../core/cut-text.ts';
import { GatewayError } from '../../core/errors.ts';
import { planClip } from '../../core/made-clip.ts';
import { contentTypeOf, type MediaInfo } from '../../core/media.ts';
import { type ResultFormat, resultFormatOfName, resultTypeOf } from '../../core/result-format.ts';
import { resultKey, thumbnailKey } from '../../core/result-key.ts';
import type { SizePlan } from '../../core/size-plan.ts';
import type { TaskOutput } from '../../core/task.ts';
import type { Tempo } from '../../core/tempo.ts';
import type { Warning } from '../../core/warning.ts';
import type { Workflow } from '../../core/workflow.ts';
import { isFlat } from '../../media/flat-picture.ts';
import type { ByteSource, ObjectStore, OutputTarget } from '../../storage/object-store.ts';
import type { ResultFile } from '../process/result-files.ts';
import { type FormedOutput, type FormParts, formOutput } from './form-output.ts';
import type { TransferPace } from './transfer-pace.ts';

export interface OutputParts extends FormParts {
  readonly store: ObjectStore;
  /** An address that a client gave for its main result. */
  readonly targetAt: (url: string) => OutputTarget;
  readonly tempo: Pick<Tempo, 'transfer'>;
}

/** One try to store an output. */
export interface OutputTransfer {
  readonly claim: Claim;
  readonly client: ComfyClient;
  readonly workflow: Workflow;
  /** What the main input was; `null` where the workflow has none. */
  readonly input: MediaInfo | null;
  /** Where the file for it lies, as long as it is here. */
  readonly source: string | null;
  /** How the main output gets its size. */
  readonly size: SizePlan;
  /** Hears the key of every object before it is stored, those of thumbnails too. */
  readonly onStoring: (key: string) => void;
  readonly warn: (warning: Warning) => void;
  /** Hears which share of the result has been moved, 0 to 1. */
  readonly onMoved: (share: number) => void;
  readonly pace: TransferPace;
  /** Whose its files in the spool are. */
  readonly spoolOwner: string;
  readonly signal: AbortSignal;
}

/**
 * Streams an output from its backend into the store, in the form that was asked for.
 *
 * @throws GatewayError `output_missing`, `output_truncated`, `storage_failed`, `target_…`,
 *   `backend_…`, `storage_full`; as `formOutput`.
 */
export async function transferOutput(
  parts: OutputParts,
  {
    claim,
    client,
    workflow,
    input,
    size: plan,
    source: mainSource,
    onStoring,
    warn,
    onMoved,
    pace,
    spoolOwner,
    signal,
  }: OutputTransfer,
  result: ResultFile,
  isMain: boolean,
): Promise<TaskOutput> {
  const { store } = parts;
  const { thumbnailDeadlineMs } = parts.tempo.transfer;
  const { file, text } = result;
  const filename = file?.filename ?? shownName;
  const made = file ? await openSource(client, file, pace, signal) : textSource(text ?? '');
  const wanted = {
    owner: spoolOwner,
    name: filename,
    delivery: claim.task.delivery,
    size: isMain && plan.by === 'gateway' ? plan.size : null,
    clip: planClip(input, workflow, result.output),
  };
  const formed = await formOutput(parts, made, wanted, signal);
  const { source, info: output } = formed;
  const named = resultFormatOfName(filename);
  const format = formed.format ?? named;
  const contentType = format ? resultTypeOf(format) : 'application/octet-stream';
  const key = resultKey(resultOwnerOf(claim), {
    output: result.output.name,
    index: result.index,
    isMain,
    extension: extensionOf(filename, format === named ? null : format),
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
      onMoved(stored / source.size);
      pace.stored(stored, source.size);
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
  const from = input?.kind === 'image' ? mainSource : null;
  if (from !== null && (await lostItsPicture(parts, from, thumbnail, signal))) warn(flatResult);
  const delivered = putUrl ? { deliveredTo: withoutQuery(putUrl) } : {};
  const { name } = result.output;
  const stored = { name, key, ...delivered, thumbnailKey: storedThumbnail, size, sha256 };
  const kept = formed.keepsMetadata ? { keepsMetadata: true } : {};
  const texts = workflow.outputs.filter(({ kind }) => kind === 'text').length;
  const shown = text === null ? {} : { text: cutBytes(text, Math.floor(toldBytes / texts)) };
  return { ...stored, contentType, input, output, ...kept, ...shown };
}

/** Of a text that its server wrote into no file. */
const shownName = 'text.txt';
/** How much of its texts a task tells by itself; their files have all of them. */
const toldBytes = 64 * 1024;

/** A file has at least one byte: a link that leads to nothing looks like a failure. */
function textSource(text: string): ByteSource {
  return bytesSource(Buffer.from(text || '\n'));
}

function bytesSource(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.length,
    open: async (range) =>
      Readable.from([range ? bytes.subarray(range.start, range.end + 1) : bytes]),
  };
}

const flatResult: Warning = {
  code: 'flat_result',
  message: 'The picture that came out has one colour throughout, and its source has not',
};

/** Whether the result has one colour, unlike its source; it does not where that cannot be told. */
async function lostItsPicture(
  { encoder }: OutputParts,
  source: string,
  thumbnail: ReturnType<FormedOutput['thumbnail']>,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const made = await thumbnail;
    if (made === null || !(await isFlat(made))) return false;
    const before = await encoder.thumbnail(source, signal);
    return before !== null && !(await isFlat(before));
  } catch {
    signal.throwIfAborted();
    return false;
  }
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
    const source = bytesSource(bytes);
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
  file: NonNullable<ResultFile['file']>,
  pace: TransferPace,
  signal: AbortSignal,
): Promise<ByteSource> {
  const size = await client.fileSize(file, signal);
  if (!size) {
    throw new GatewayError('output_missing', 'The ComfyUI server does not have the result', {
      detail: { ...file, size },
    });
  }
  return {
    size,
    open: async (range, signal) => pace.reading(await client.openOutput(file, range, signal)),
  };
}

/** What it is, or else what the file's name says. */
function extensionOf(filename: string, format: ResultFormat | null): string {
  return format ?? filename.slice(filename.lastIndexOf('.') + 1).replace(/[^A-Za-z0-9]/g, '');
}

/** Whoever has the query of a presigned address may write there. */
function withoutQuery(url: string): string {
  const { origin, pathname } = new URL(url);
  return origin + pathname;
}
