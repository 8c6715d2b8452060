import { rm } from 'node:fs/promises';
import PQueue from 'p-queue';
import type { Metadata, Sharp } from 'sharp';
import type { EncodedFormat } from '../core/delivery.ts';
import { checkSides } from '../core/encoded-sides.ts';
import { GatewayError } from '../core/errors.ts';
import { contentTypeOf, type ImageFormat, imageFormats } from '../core/media.ts';
import type { Size } from '../core/size-plan.ts';
import { realTempo, type Tempo } from '../core/tempo.ts';
import { untilAborted } from '../core/until-aborted.ts';
import { sharp } from './libvips.ts';
import { pictureFault } from './picture/faults.ts';

/** What becomes of a picture. */
export interface Encoding {
  /** Pixels; `null` keeps its size. */
  readonly size: Size | null;
  /** `null` keeps its format. */
  readonly format: EncodedFormat | null;
  /** 1 to 100; `null` as the encoder does it. */
  readonly quality: number | null;
  readonly keepsMetadata: boolean;
}

/** HEIC is only read. */
type WrittenFormat = Exclude<ImageFormat, 'heic'>;

/** A picture in memory. */
export interface Picture {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly contentType: string;
}

/** What ComfyUI's nodes call these texts in EXIF. */
const exifTags: Readonly<Record<string, string>> = { prompt: 'Model', workflow: 'Make' };
/** libexif writes 64 KB at most, with what else is in there. */
const mostExifBytes = 60_000;

const thumbnailSide = 320;
/** A larger picture takes seconds to read, and its task would wait for them. */
const maxThumbnailPixels = 100_000_000;

const previewSide = 2_048;

/**
 * Encodes pictures outside the event loop: a bounded number at once, because each holds one of the few
 * threads with which files are read and written, too.
 */
export class ImageEncoder {
  readonly #queue: PQueue;
  readonly #tempo: Tempo['media'];

  constructor(concurrency: number, tempo: Tempo['media'] = realTempo.media) {
    this.#tempo = tempo;
    this.#queue = new PQueue({ concurrency });
  }

  /**
   * Writes the picture in `path` to `target` as is wanted, upright, its colour profile kept. An
   * animation keeps its frames, and its format unless it is to be WebP.
   *
   * @throws GatewayError `media_too_large` for more pixels a side than the format can hold;
   *   `execution_failed` for bytes that are no picture; `spool_full`; the signal's reason.
   */
  async encode(
    path: string,
    target: string,
    encoding: Encoding,
    signal: AbortSignal,
  ): Promise<void> {
    const work = this.#queue.add(() => encode(path, target, encoding), { signal });
    try {
      await untilAborted(work, signal);
    } catch (error) {
      // It goes on meanwhile, and what it leaves is nobody's.
      if (signal.aborted) void work.catch(() => {}).then(() => rm(target, { force: true }));
      signal.throwIfAborted();
      throw error instanceof GatewayError ? error : fromEncoder(error);
    }
  }

  /** A small WebP of the picture, upright and in sRGB; `null` of one that is too large or damaged. */
  async thumbnail(path: string, signal: AbortSignal): Promise<Buffer | null> {
    const work = this.#queue.add(() => thumbnail(path, this.#tempo.thumbnailDeadlineMs), {
      signal,
    });
    return await untilAborted(work, signal).catch(() => {
      signal.throwIfAborted();
      return null;
    });
  }

  /**
   * The picture as any browser shows it: a WebP of at most 2048 pixels a side, upright and in sRGB; of
   * an animation, or of several pages, the first. `maxPixels`: what the picture may have.
   *
   * @throws GatewayError `media_too_large`; `media_corrupt`, also for what takes too long to read;
   *   `unavailable` when there is no time for it; the signal's reason.
   */
  async preview(path: string, maxPixels: number, signal: AbortSignal): Promise<Picture> {
    const deadline = AbortSignal.any([
      signal,
      AbortSignal.timeout(this.#tempo.previewTotalDeadlineMs),
    ]);
    // Tasks come first.
    const work = this.#queue.add(() => preview(path, maxPixels, this.#tempo.previewDeadlineMs), {
      signal: deadline,
      priority: -1,
    });
    const bytes = await untilAborted(work, deadline).catch((error) => {
      signal.throwIfAborted();
      throw deadline.aborted ? noTime() : pictureFault(error, maxPixels);
    });
    return { bytes, contentType: contentTypeOf('webp') };
  }
}

async function encode(path: string, target: string, encoding: Encoding): Promise<void> {
  const metadata = await sharp(path, { limitInputPixels: false }).metadata();
  const own = formatOf(metadata);
  const isAnimated = (metadata.pages ?? 1) > 1 && own !== 'tiff';
  const format = isAnimated && encoding.format !== 'webp' ? own : (encoding.format ?? own);
  const { size, quality, keepsMetadata } = encoding;
  checkSides(size ?? metadata, format);

  const image = sharp(path, {
    failOn: 'error',
    limitInputPixels: false,
    sequentialRead: true,
    animated: isAnimated,
  }).autoOrient();
  if (size) image.resize(size.width, size.height, { fit: 'fill', kernel: 'lanczos3' });
  if (keepsMetadata) keepMetadata(image, metadata, format);
  else image.keepIccProfile();
  // A JPEG has no transparency, and black behind it would be a surprise.
  if (format === 'jpg') image.flatten({ background: 'white' });
  if (format === 'png' && metadata.depth === 'ushort') {
    image.toColourspace(metadata.channels < 3 ? 'grey16' : 'rgb16');
  }
  image.toFormat(format === 'jpg' ? 'jpeg' : format, quality === null ? {} : { quality });
  await image.toFile(target);
}

async function thumbnail(path: string, deadlineMs: number): Promise<Buffer> {
  return await sharp(path, { limitInputPixels: maxThumbnailPixels, sequentialRead: true })
    .autoOrient()
    .resize(thumbnailSide, thumbnailSide, { fit: 'inside', withoutEnlargement: true })
    .webp({ quality: 75 })
    .timeout({ seconds: wholeSeconds(deadlineMs) })
    .toBuffer();
}

async function preview(
  path: string,
  maxPixels: number,
  deadlineMs: number,
): Promise<Uint8Array<ArrayBuffer>> {
  return await sharp(path, { limitInputPixels: maxPixels, sequentialRead: true, failOn: 'error' })
    .autoOrient()
    .resize(previewSide, previewSide, { fit: 'inside', withoutEnlargement: true })
    .webp({ quality: 85 })
    .timeout({ seconds: wholeSeconds(deadlineMs) })
    .toBuffer();
}

/** libvips counts in seconds. */
function wholeSeconds(ms: number): number {
  return Math.ceil(ms / 1_000);
}

function formatOf({ format }: Metadata): WrittenFormat {
  if (format === 'jpeg') return 'jpg';
  if (format === 'heif') return 'avif';
  if ((imageFormats as readonly string[]).includes(format)) return format as WrittenFormat;
  throw new Error(`No picture is written as ${format}`);
}

/**
 * What a PNG says in texts, the other formats say in EXIF, where ComfyUI's own nodes write it, too.
 */
function keepMetadata(image: Sharp, { comments = [] }: Metadata, format: ImageFormat): void {
  image.keepMetadata();
  if (format === 'png') return;
  const tags: Record<string, string> = {};
  let bytes = 0;
  for (const { keyword, text } of comments) {
    const tag = exifTags[keyword];
    bytes += Buffer.byteLength(text);
    if (tag && bytes <= mostExifBytes) tags[tag] = `${keyword}:${text}`;
  }
  if (Object.keys(tags).length > 0) image.withExifMerge({ IFD0: tags });
}

/** Of the system's errors, the encoder passes on the words only. */
function fromEncoder(cause: unknown): GatewayError {
  const words = cause instanceof Error ? cause.message : '';
  if (/No space left on device|Disk quota exceeded/.test(words)) {
    const message = 'The gateway has no room for the result at the moment';
    return new GatewayError('spool_full', message, { cause });
  }
  const message = 'The result of the workflow is no picture that can be encoded';
  return new GatewayError('execution_failed', message, { cause });
}

function noTime(): GatewayError {
  return new GatewayError('unavailable', 'The gateway has no time for previews at the moment');
}
