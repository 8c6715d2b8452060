import { open } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import PQueue from 'p-queue';
import sharp, { type Metadata, type Sharp } from 'sharp';
import { GatewayError } from '../core/errors.ts';
import {
  type ImageFormat,
  type ImageInfo,
  type MediaInfo,
  mediaKindOf,
  type VideoFormat,
  type VideoInfo,
} from '../core/media.ts';
import {
  checkFrames,
  checkLimits,
  generousLimits,
  limitsFor,
  type MediaLimits,
  tooManyPixels,
  type WorkflowLimits,
} from '../core/media-limits.ts';
import { realTempo, type Tempo } from '../core/tempo.ts';
import { untilAborted } from '../core/until-aborted.ts';
import { readStart, remuxFirst, sniffBuffer, sniffBytes, unsupported } from './sniff.ts';
import type { FromVideoThread, ToVideoThread, TrackInfo } from './video-thread.ts';

/** Bytes that are somewhere else, such as behind HTTP with Range. */
export interface RangeReader {
  /** Bytes. */
  readonly size: number;
  read(start: number, endExclusive: number, signal: AbortSignal): Promise<Uint8Array>;
}

export interface MediaProbeOptions
  extends Partial<Pick<Tempo['media'], 'imageDeadlineMs' | 'videoDeadlineMs'>> {
  /** For workflows that have none of their own. */
  readonly limits?: MediaLimits;
}

/** What sharp needs to read a header lies within this much of any sane image… */
const headBytes = 512 * 1024;
/** …except for TIFF, which may have its tables at the end, and WebP, of which it takes no part. */
const wholeBytes = 32 * 1024 * 1024;
/** A remote video's tables lie here and there; beyond this it is not tables that are read. */
const maxRemoteBytes = 64 * 1024 * 1024;
/** What a file claims of its boxes is not memory that we give. */
const maxReadBytes = 32 * 1024 * 1024;
/** A Matroska file without an index has to be read whole; 300 MB/s were measured. */
const bytesPerMs = 100_000;

// Formats with scripts, links and delegates of their own are none of ours, sniffed or not.
sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({
  operation: [
    'VipsForeignLoadPng',
    'VipsForeignLoadJpeg',
    'VipsForeignLoadWebp',
    'VipsForeignLoadNsgif',
    'VipsForeignLoadTiff',
    'VipsForeignLoadHeif',
  ],
});
// Each source is read once.
sharp.cache(false);

/** What a file's header says, and whether the rest of it holds that. */
export interface Probed {
  readonly info: MediaInfo;
  readonly checked: Promise<void>;
}

/** Finds out what a file is, from its bytes alone, and whether it is whole. */
export class MediaProbe {
  readonly #limits: MediaLimits;
  readonly #imageDeadlineMs: number;
  readonly #videoDeadlineMs: number;
  /** A thread that shares its processor with many would not be done by its deadline. */
  readonly #videos = new PQueue({ concurrency: availableParallelism() });

  constructor({
    limits = generousLimits,
    imageDeadlineMs = realTempo.media.imageDeadlineMs,
    videoDeadlineMs = realTempo.media.videoDeadlineMs,
  }: MediaProbeOptions = {}) {
    this.#limits = limits;
    this.#imageDeadlineMs = imageDeadlineMs;
    this.#videoDeadlineMs = videoDeadlineMs;
  }

  /**
   * Probes a file of ours to its end: ComfyUI would take a truncated picture and make the rest grey.
   * Of a remote one only the header is read. The workflow's own limits stand over the general ones.
   *
   * @throws GatewayError `media_unsupported`, `media_corrupt`, `media_too_large`; the signal's reason.
   */
  async probe(
    from: string | RangeReader,
    signal: AbortSignal,
    own: WorkflowLimits = {},
  ): Promise<MediaInfo> {
    const { info, checked } = await this.begin(from, signal, own);
    await checked;
    return info;
  }

  /**
   * As `probe`, but tells what the header says as soon as it is read: the rest is `checked` meanwhile.
   *
   * @throws GatewayError as `probe` does, and `checked` rejects with the same.
   */
  async begin(
    from: string | RangeReader,
    signal: AbortSignal,
    own: WorkflowLimits = {},
  ): Promise<Probed> {
    signal.throwIfAborted();
    const limits = limitsFor(own, this.#limits);
    const source = typeof from === 'string' ? from : limited(from, maxRemoteBytes);
    const head = await startOf(source, signal);
    const format = await sniffBuffer(head);
    if (!format) throw await unsupported(head);
    if (mediaKindOf(format) === 'image') {
      return await this.#probeImage(source, head, format as ImageFormat, limits, signal);
    }
    const video = () => this.#probeVideo(source, format as VideoFormat, signal);
    const info = await this.#videos.add(video, { signal });
    checkLimits(info, limits);
    return { info, checked: Promise.resolve() };
  }

  async #probeImage(
    source: string | RangeReader,
    head: Uint8Array,
    format: ImageFormat,
    limits: MediaLimits,
    signal: AbortSignal,
  ): Promise<Probed> {
    const input = typeof source === 'string' ? source : await headOf(source, format, signal);
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(this.#imageDeadlineMs)]);
    // The first frame stands for an animation: ComfyUI's LoadImage takes no more of it.
    const image = sharp(input, {
      limitInputPixels: limits.maxImagePixels,
      failOn: typeof source === 'string' ? 'error' : 'none',
      sequentialRead: true,
      pages: 1,
    });
    const fault = (error: unknown) => {
      signal.throwIfAborted();
      return imageFault(error, limits.maxImagePixels);
    };
    const metadata = await untilAborted(image.metadata(), deadline).catch((error) => {
      throw fault(error);
    });
    const size = format === 'gif' ? screenOf(head, metadata) : asShown(metadata);
    const info: ImageInfo = { kind: 'image', format, ...size };
    checkLimits(info, limits);
    if (format !== 'tiff') checkFrames(metadata.pages ?? 1, 'animation', limits);
    const checked = (async () => {
      if (typeof source === 'string') await decode(image, metadata, deadline);
    })().catch((error) => {
      throw fault(error);
    });
    // Who asked may be gone by then.
    checked.catch(() => {});
    return { info, checked };
  }

  /** Container parsers can be made to loop and to hoard: a thread can be ended when one does. */
  async #probeVideo(
    source: string | RangeReader,
    format: VideoFormat,
    signal: AbortSignal,
  ): Promise<VideoInfo> {
    const isWhole = typeof source === 'string';
    const reader = isWhole ? await fileReader(source) : source;
    const thread = new Worker(new URL('./video-thread.ts', import.meta.url), {
      workerData: {
        size: reader.size,
        isWhole,
      } satisfies ToVideoThread,
      resourceLimits: { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 32 },
      stdout: true,
      stderr: true,
    });
    const readingMs = isWhole ? Math.round(reader.size / bytesPerMs) : 0;
    const videoMs = this.#videoDeadlineMs + readingMs;
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(videoMs)]);
    try {
      const track = await answerOf(thread, reader, format, deadline);
      return { kind: 'video', format, ...track };
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof GatewayError ? error : corrupt('video', error);
    } finally {
      await thread.terminate();
      if (isWhole) await (reader as FileReader).close();
    }
  }
}

async function startOf(source: string | RangeReader, signal: AbortSignal): Promise<Uint8Array> {
  if (typeof source === 'string') return await readStart(source);
  return await source.read(0, Math.min(source.size, sniffBytes), signal);
}

async function headOf(
  source: RangeReader,
  format: ImageFormat,
  signal: AbortSignal,
): Promise<Buffer> {
  const maxBytes = format === 'tiff' || format === 'webp' ? wholeBytes : headBytes;
  return Buffer.from(await source.read(0, Math.min(source.size, maxBytes), signal));
}

/**
 * Reads every row and keeps a pixel of each: a 40 MP JPEG takes 11 MB so, and 140 MB as it is. In both
 * directions a JPEG would be shrunk while it is read, without its last rows; a WebP is read in one
 * piece in any case, and takes 10 MB in place of 320 MB if that piece is small.
 */
async function decode(image: Sharp, { format, height }: Metadata, signal: AbortSignal) {
  const rows = image
    .clone()
    .resize({ width: 1, height: format === 'webp' ? 1 : height, fit: 'fill' });
  await untilAborted(rows.raw().toBuffer(), signal);
}

/** EXIF orientations 5 to 8 lie on their side. */
function asShown({ width, height, orientation = 1 }: Metadata): { width: number; height: number } {
  return orientation >= 5 ? { width: height, height: width } : { width, height };
}

/** ComfyUI paints the whole screen of a GIF; libvips takes one above 2048 pixels for a mistake, and its frame alone. */
function screenOf(
  head: Uint8Array,
  { width, height }: Metadata,
): { width: number; height: number } {
  const header = new DataView(head.buffer, head.byteOffset);
  return {
    width: Math.max(width, header.getUint16(6, true)),
    height: Math.max(height, header.getUint16(8, true)),
  };
}

interface FileReader extends RangeReader {
  close(): Promise<void>;
}

async function fileReader(path: string): Promise<FileReader> {
  const file = await open(path);
  const { size } = await file.stat();
  return {
    size,
    close: () => file.close(),
    async read(start, endExclusive) {
      if (endExclusive - start > maxReadBytes) throw new Error('It asks for too much at once');
      const { buffer, bytesRead } = await file.read({
        buffer: Buffer.alloc(endExclusive - start),
        position: start,
      });
      return buffer.subarray(0, bytesRead);
    },
  };
}

function limited(source: RangeReader, maxBytes: number): RangeReader {
  let readBytes = 0;
  return {
    size: source.size,
    async read(start, endExclusive, signal) {
      readBytes += endExclusive - start;
      if (readBytes > maxBytes) throw new Error('It asks for too many bytes');
      return await untilAborted(source.read(start, endExclusive, signal), signal);
    },
  };
}

/** Serves the thread's wishes for bytes until it answers. */
function answerOf(
  thread: Worker,
  reader: RangeReader,
  format: VideoFormat,
  signal: AbortSignal,
): Promise<TrackInfo> {
  const { promise, resolve, reject } = Promise.withResolvers<TrackInfo>();
  thread.on('error', reject);
  thread.on('exit', () => reject(new Error('The thread ended without an answer')));
  thread.on('message', async (message: FromVideoThread) => {
    if (message.kind === 'info') return resolve(message.info);
    if (message.kind === 'no-video') return reject(noVideo(format));
    if (message.kind === 'failed') return reject(new Error(message.reason));
    try {
      const bytes = await reader.read(message.start, message.end, signal);
      thread.postMessage({ id: message.id, bytes });
    } catch (error) {
      reject(error);
    }
  });
  signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  if (signal.aborted) reject(signal.reason);
  return promise;
}

/** What is wrong with a picture that sharp would not read. */
export function imageFault(error: unknown, maxPixels: number): GatewayError {
  return isTooLarge(error) ? tooManyPixels(maxPixels) : corrupt('image', error);
}

function isTooLarge(error: unknown): boolean {
  return error instanceof Error && /exceeds pixel limit/i.test(error.message);
}

function noVideo(format: VideoFormat): GatewayError {
  if (format === 'ts') return remuxFirst('The MPEG-TS has no H.264 or HEVC', 'in.ts');
  return new GatewayError('media_unsupported', 'The source is a container without a video track');
}

function corrupt(what: string, cause: unknown): GatewayError {
  return new GatewayError('media_corrupt', `The ${what} is damaged or cut off`, { cause });
}
