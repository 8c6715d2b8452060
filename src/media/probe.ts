import { availableParallelism } from 'node:os';
import PQueue from 'p-queue';
import { GatewayError } from '../core/errors.ts';
import {
  type AudioFormat,
  type AudioInfo,
  type ImageFormat,
  type MediaInfo,
  mediaKindOf,
  type VideoFormat,
  type VideoInfo,
} from '../core/media.ts';
import {
  checkLimits,
  generousLimits,
  limitsFor,
  type MediaLimits,
  type WorkflowLimits,
} from '../core/media-limits.ts';
import { realTempo, type Tempo } from '../core/tempo.ts';
import { untilAborted } from '../core/until-aborted.ts';
import { PictureProbe, type PictureWish } from './picture/probe-picture.ts';
import type { Probed } from './probed.ts';
import { fileReader, type RangeReader } from './range-reader.ts';
import { readStart, remuxFirst, sniffBuffer, sniffBytes, unsupported } from './sniff.ts';
import type { VideoAnswer } from './video-thread.ts';
import { VideoThreads } from './video-threads.ts';

export interface MediaProbeOptions
  extends Partial<
    Pick<
      Tempo['media'],
      'imageDeadlineMs' | 'videoDeadlineMs' | 'videoWorkDeadlineMs' | 'videoLookMs' | 'idleThreadMs'
    >
  > {
  /** For workflows that have none of their own. */
  readonly limits?: MediaLimits;
}

/** A remote video's tables lie here and there; beyond this it is not tables that are read. */
const maxRemoteBytes = 64 * 1024 * 1024;
/** A Matroska file without an index has to be read whole; 300 MB/s were measured. */
const bytesPerMs = 100_000;

/** Nothing is made of a picture. */
const asItIs: PictureWish = { plain: null, frames: 'first', isChecked: false };

/** Finds out what a file is, from its bytes alone, and whether it is whole. */
export class MediaProbe {
  readonly #limits: MediaLimits;
  readonly #pictures: PictureProbe;
  readonly #videoDeadlineMs: number;
  readonly #videoWorkMs: number;
  readonly #threads: VideoThreads;
  /** A thread that shares its processor with many would not be done by its deadline. */
  readonly #videos = new PQueue({ concurrency: availableParallelism() });

  constructor({
    limits = generousLimits,
    imageDeadlineMs = realTempo.media.imageDeadlineMs,
    videoDeadlineMs = realTempo.media.videoDeadlineMs,
    videoWorkDeadlineMs = realTempo.media.videoWorkDeadlineMs,
    videoLookMs = realTempo.media.videoLookMs,
    idleThreadMs = realTempo.media.idleThreadMs,
  }: MediaProbeOptions = {}) {
    this.#limits = limits;
    this.#pictures = new PictureProbe(imageDeadlineMs);
    this.#videoDeadlineMs = videoDeadlineMs;
    this.#videoWorkMs = videoWorkDeadlineMs;
    this.#threads = new VideoThreads({ idleMs: idleThreadMs, lookMs: videoLookMs });
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
   * As `probe`, but tells what the header says as soon as it is read: the rest is `checked` meanwhile. Of a
   * picture that some server would not see as a person does, a plain one is made first, as `wish` says.
   *
   * @throws GatewayError as `probe` does, and `checked` rejects with the same.
   */
  async begin(
    from: string | RangeReader,
    signal: AbortSignal,
    own: WorkflowLimits = {},
    wish: PictureWish = asItIs,
  ): Promise<Probed> {
    signal.throwIfAborted();
    const limits = limitsFor(own, this.#limits);
    const source = typeof from === 'string' ? from : limited(from, maxRemoteBytes);
    const head = await startOf(source, signal);
    const format = await sniffBuffer(head);
    if (!format) throw await unsupported(head);
    if (mediaKindOf(format) === 'image') {
      const picture = format as ImageFormat;
      if (typeof source === 'string') {
        // Of one frame a workflow's own limit says nothing; how many there may be to look through, ours does.
        const counted = wish.frames === 'all' ? limits : this.#limits;
        const held = { ...limits, maxVideoFrames: counted.maxVideoFrames };
        return await this.#pictures.begin(source, head, picture, held, wish, signal);
      }
      const info = await this.#pictures.header(source, head, picture, limits, signal);
      return { info, made: null, checked: Promise.resolve() };
    }
    const video = () => this.#probeVideo(source, format as VideoFormat, signal);
    const sound = () => this.#probeSound(source, format as AudioFormat, signal);
    const isSound = mediaKindOf(format) === 'audio';
    const info = await this.#videos.add<VideoInfo | AudioInfo>(isSound ? sound : video, { signal });
    checkLimits(info, limits);
    return { info, made: null, checked: Promise.resolve() };
  }

  async #probeVideo(
    source: string | RangeReader,
    format: VideoFormat,
    signal: AbortSignal,
  ): Promise<VideoInfo | AudioInfo> {
    const answer = await this.#read(source, 'video', signal);
    if (answer.kind === 'info') return { kind: 'video', format, ...answer.info };
    const mayBeSound = format === 'mp4' || format === 'mov';
    if (!mayBeSound) throw noVideo(format);
    // Its brand does not tell a recording of sound alone from a clip.
    return await this.#probeSound(source, 'm4a', signal);
  }

  async #probeSound(
    source: string | RangeReader,
    format: AudioFormat,
    signal: AbortSignal,
  ): Promise<AudioInfo> {
    const answer = await this.#read(source, 'audio', signal);
    if (answer.kind === 'sound') return { kind: 'audio', format, ...answer.info };
    throw new GatewayError(
      'media_unsupported',
      'The source is a container without a picture or a sound',
    );
  }

  /** @throws GatewayError `media_corrupt`; the signal's reason. */
  async #read(
    source: string | RangeReader,
    kind: 'video' | 'audio',
    signal: AbortSignal,
  ): Promise<VideoAnswer> {
    const isWhole = typeof source === 'string';
    await using file = isWhole ? await fileReader(source) : null;
    const reader = file ?? (source as RangeReader);
    const readingMs = isWhole ? Math.round(reader.size / bytesPerMs) : 0;
    const timeout = AbortSignal.timeout(this.#videoDeadlineMs + readingMs);
    const until = {
      signal: AbortSignal.any([signal, timeout]),
      workMs: this.#videoWorkMs + readingMs,
    };
    try {
      const answer = await this.#threads.read(reader, { isWhole, kind }, until);
      if (answer.kind === 'failed') throw new Error(answer.reason);
      return answer;
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof GatewayError
        ? error
        : corrupt(kind === 'video' ? kind : 'sound', error);
    }
  }
}

async function startOf(source: string | RangeReader, signal: AbortSignal): Promise<Uint8Array> {
  if (typeof source === 'string') return await readStart(source);
  return await source.read(0, Math.min(source.size, sniffBytes), signal);
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

function noVideo(format: VideoFormat): GatewayError {
  if (format === 'ts') return remuxFirst('The MPEG-TS has no H.264 or HEVC', 'in.ts');
  return new GatewayError('media_unsupported', 'The source is a container without a video track');
}

function corrupt(what: string, cause: unknown): GatewayError {
  return new GatewayError('media_corrupt', `The ${what} is damaged or cut off`, { cause });
}
