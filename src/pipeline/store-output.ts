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

/** Waits between tries of a transfer; the store's driver repeats single requests by itself. */
const pausesMs = [1_000, 5_000, 20_000];

/**
 * Streams the output from its backend into the store. A transfer that fails is repeated from the
 * file that is still there: what the GPU made is not made again.
 *
 * @throws GatewayError `output_missing`, `output_truncated`, `storage_failed`, `backend_…`.
 */
export async function storeOutput(
  { store, probe }: { readonly store: ObjectStore; readonly probe: MediaProbe },
  claim: Claim,
  client: ComfyClient,
  file: OutputFile,
  input: MediaInfo,
  report: ReportProgress,
  signal: AbortSignal,
): Promise<TaskOutput> {
  const key = objectKey(claim, file.filename);
  const format = formatOfName(file.filename);
  const contentType = format ? contentTypeOf(format) : 'application/octet-stream';
  for (let failures = 0; ; failures += 1) {
    try {
      const source = await openSource(client, file, signal);
      const output = await describe(probe, source, signal);
      const { size, sha256 } = await store.put(key, source, {
        contentType,
        onProgress: (stored) => report(transferProgress(stored, source.size)),
        signal,
      });
      return { key, size, sha256, contentType, input, output };
    } catch (error) {
      const pauseMs = pausesMs[failures];
      signal.throwIfAborted();
      if (pauseMs === undefined || !isPassing(error)) throw error;
      report({ progress: 0, detail: 'Upload failed, trying again' });
      await delay(pauseMs, undefined, { signal });
    }
  }
}

function isPassing(error: unknown): boolean {
  return error instanceof GatewayError && error.code !== 'output_missing';
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
