import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { ComfyClient } from '../comfyui/client.ts';
import type { Claim } from '../core/attempt.ts';
import { GatewayError } from '../core/errors.ts';
import { contentTypeOf, formatOfName, type MediaInfo } from '../core/media.ts';
import type { Size, SizePlan } from '../core/size-plan.ts';
import type { TaskOutput } from '../core/task.ts';
import type { MediaProbe, RangeReader } from '../media/probe.ts';
import { resizeImage } from '../media/resize-image.ts';
import type { Spool, SpoolFile } from '../media/spool.ts';
import type { ByteSource, ObjectStore } from '../storage/object-store.ts';
import type { ReportProgress } from './attempt-journal.ts';
import { transferProgress } from './format.ts';
import type { ResultFile } from './result-files.ts';
import { SharedProgress } from './shared-progress.ts';

/**
 * How long a transfer is repeated after its first failure. A store that is away comes back, and what
 * the GPU made is worth waiting for; a backend that stays away has lost it.
 */
const storePatienceMs = 10 * 60_000;
const backendPatienceMs = 60_000;
const firstPauseMs = 1_000;
const longestPauseMs = 60_000;

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
  readonly onStored: (output: TaskOutput) => void;
  readonly report: ReportProgress;
  readonly signal: AbortSignal;
}

export interface OutputParts {
  readonly store: ObjectStore;
  readonly probe: MediaProbe;
  readonly spool: Spool;
}

/**
 * Streams the outputs from their backend into the store, one after the other. A transfer that fails is
 * repeated from the file that is still there: what the GPU made is not made again.
 *
 * @throws GatewayError `output_missing`, `output_truncated`, `storage_failed`, `backend_…`.
 */
export async function storeOutputs(
  parts: OutputParts,
  transfer: OutputTransfer,
): Promise<TaskOutput[]> {
  const { files, report, onStored } = transfer;
  const progress = new SharedProgress(report, files.length);
  const outputs: TaskOutput[] = [];
  for (const [index, file] of files.entries()) {
    const part = progress.part(index);
    const output = await storeOutput(parts, { ...transfer, report: part }, file, index === 0);
    onStored(output);
    outputs.push(output);
    part({ progress: 100, detail: null });
  }
  return outputs;
}

async function storeOutput(
  parts: OutputParts,
  transfer: OutputTransfer,
  file: ResultFile,
  isMain: boolean,
): Promise<TaskOutput> {
  const { inTurn, report, signal } = transfer;
  let failingSince: number | null = null;
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 4, longestPauseMs)) {
    try {
      return await inTurn(() => transferOnce(parts, transfer, file, isMain));
    } catch (error) {
      signal.throwIfAborted();
      failingSince ??= performance.now();
      const triedMs = performance.now() - failingSince;
      if (triedMs + pauseMs > patienceMs(error)) throw error;
      report({ progress: 0, detail: 'Upload failed, trying again' });
      await delay(pauseMs * (0.5 + Math.random() / 2), undefined, { signal });
    }
  }
}

function patienceMs(error: unknown): number {
  if (!(error instanceof GatewayError) || error.code === 'output_missing') return 0;
  return error.code === 'storage_failed' ? storePatienceMs : backendPatienceMs;
}

async function transferOnce(
  { store, probe, spool }: OutputParts,
  { claim, client, input, size: plan, report, signal }: OutputTransfer,
  result: ResultFile,
  isMain: boolean,
): Promise<TaskOutput> {
  const { file } = result;
  const key = objectKey(claim, result, isMain);
  const format = formatOfName(file.filename);
  const contentType = format ? contentTypeOf(format) : 'application/octet-stream';
  const made = await openSource(client, file, signal);
  const source =
    isMain && plan.by === 'gateway'
      ? await resized(made, plan.size, spool.file(claim.attempt.id, 'resized'), signal)
      : made;
  const output = await describe(probe, source, signal);
  const { size, sha256 } = await store.put(key, source, {
    contentType,
    onProgress: (stored) => report(transferProgress(stored, source.size)),
    signal,
  });
  return { name: result.output.name, key, size, sha256, contentType, input, output };
}

async function openSource(
  client: ComfyClient,
  file: ResultFile['file'],
  signal: AbortSignal,
): Promise<ByteSource> {
  const size = await client.outputSize(file, signal);
  if (!size) {
    throw new GatewayError('output_missing', 'The ComfyUI server does not have the result', {
      detail: { ...file, size },
    });
  }
  return { size, open: (range, signal) => client.openOutput(file, range, signal) };
}

/** The picture in the size that the graph could not give it. */
async function resized(
  made: ByteSource,
  size: Size,
  { path, onBytes }: SpoolFile,
  signal: AbortSignal,
): Promise<ByteSource> {
  await resizeImage(await made.open(null, signal), size, path, signal);
  const { size: bytes } = await stat(path);
  onBytes(bytes);
  return { size: bytes, open: async (range) => createReadStream(path, range ?? {}) };
}

/** What the result is, from its own header; `null` where that cannot be told. */
async function describe(
  probe: MediaProbe,
  source: ByteSource,
  signal: AbortSignal,
): Promise<MediaInfo | null> {
  const reader: RangeReader = {
    size: source.size,
    async read(start, endExclusive, signal) {
      const stream = await source.open({ start, end: endExclusive - 1 }, signal);
      return Buffer.concat(await stream.toArray());
    },
  };
  try {
    return await probe.probe(reader, signal);
  } catch {
    signal.throwIfAborted();
    return null;
  }
}

/**
 * The object's name says which task it is of and what it was made from. A later attempt has a name
 * of its own, so that a gateway which slept cannot overwrite what its successor stored.
 */
function objectKey(
  { task, attempt }: Claim,
  { output, index, file: { filename } }: ResultFile,
  isMain: boolean,
): string {
  const path = URL.parse(task.sources[0]?.url ?? '')?.pathname ?? '';
  const name = decodeURIComponentSafely(path.slice(path.lastIndexOf('/') + 1));
  const stem =
    name
      .replace(/\.[^.]*$/, '')
      .replace(/[^\p{L}\p{N}._-]+/gu, '_')
      .replace(/^\.+/, '')
      .slice(0, 80) || 'result';
  const extension = filename.slice(filename.lastIndexOf('.') + 1).replace(/[^A-Za-z0-9]/g, '');
  const which = isMain ? '' : `-${output.name}${index > 0 ? `-${index + 1}` : ''}`;
  const again = attempt.number > 1 ? `-${attempt.number}` : '';
  return `${task.id.replaceAll('-', '')}/${stem}${which}${again}.${extension}`;
}

function decodeURIComponentSafely(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
