import { setTimeout as delay } from 'node:timers/promises';
import type { ComfyClient } from '../comfyui/client.ts';
import type { OutputFile } from '../comfyui/messages.ts';
import type { Claim } from '../core/attempt.ts';
import { GatewayError } from '../core/errors.ts';
import { contentTypeOf, formatOfName, type MediaInfo } from '../core/media.ts';
import type { TaskOutput } from '../core/task.ts';
import type { MediaProbe, RangeReader } from '../media/probe.ts';
import type { ByteSource, ObjectStore } from '../storage/object-store.ts';
import type { ReportProgress } from './attempt-journal.ts';
import { transferProgress } from './format.ts';

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
  readonly file: OutputFile;
  readonly input: MediaInfo;
  /** Waits for its turn among the transfers, for each try anew. */
  readonly inTurn: <T>(work: () => Promise<T>) => Promise<T>;
  readonly report: ReportProgress;
  readonly signal: AbortSignal;
}

export interface OutputParts {
  readonly store: ObjectStore;
  readonly probe: MediaProbe;
}

/**
 * Streams the output from its backend into the store. A transfer that fails is repeated from the
 * file that is still there: what the GPU made is not made again.
 *
 * @throws GatewayError `output_missing`, `output_truncated`, `storage_failed`, `backend_…`.
 */
export async function storeOutput(
  parts: OutputParts,
  transfer: OutputTransfer,
): Promise<TaskOutput> {
  const { inTurn, report, signal } = transfer;
  let failingSince: number | null = null;
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 4, longestPauseMs)) {
    try {
      return await inTurn(() => transferOnce(parts, transfer));
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
  { store, probe }: OutputParts,
  { claim, client, file, input, report, signal }: OutputTransfer,
): Promise<TaskOutput> {
  const key = objectKey(claim, file.filename);
  const format = formatOfName(file.filename);
  const contentType = format ? contentTypeOf(format) : 'application/octet-stream';
  const source = await openSource(client, file, signal);
  const output = await describe(probe, source, signal);
  const { size, sha256 } = await store.put(key, source, {
    contentType,
    onProgress: (stored) => report(transferProgress(stored, source.size)),
    signal,
  });
  return { key, size, sha256, contentType, input, output };
}

async function openSource(
  client: ComfyClient,
  file: OutputFile,
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
function objectKey({ task, attempt }: Claim, outputName: string): string {
  const path = URL.parse(task.source.url)?.pathname ?? '';
  const name = decodeURIComponentSafely(path.slice(path.lastIndexOf('/') + 1));
  const stem =
    name
      .replace(/\.[^.]*$/, '')
      .replace(/[^\p{L}\p{N}._-]+/gu, '_')
      .replace(/^\.+/, '')
      .slice(0, 80) || 'result';
  const extension = outputName.slice(outputName.lastIndexOf('.') + 1).replace(/[^A-Za-z0-9]/g, '');
  const again = attempt.number > 1 ? `-${attempt.number}` : '';
  return `${task.id.replaceAll('-', '')}/${stem}${again}.${extension}`;
}

function decodeURIComponentSafely(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
