import { rm, stat } from 'node:fs/promises';
import PQueue from 'p-queue';
import { GatewayError } from '../../core/errors.ts';
import type { ImageFormat, ImageInfo } from '../../core/media.ts';
import { checkFrames, checkLimits, type MediaLimits } from '../../core/media-limits.ts';
import { isSameSize, type Size } from '../../core/picture-size.ts';
import { untilAborted } from '../../core/until-aborted.ts';
import { sharp } from '../libvips.ts';
import type { Probed, SentFile } from '../probed.ts';
import type { RangeReader } from '../range-reader.ts';
import type { SpoolFile } from '../spool.ts';
import { pictureFault } from './faults.ts';
import { asShown, openPicture, type Picture } from './open-picture.ts';
import {
  checkPixels,
  isTransparent,
  madeFormat,
  type Opened,
  withPixels,
  writePlain,
} from './pixels.ts';
import { readable } from './readable.ts';

/** What sharp needs to read a header lies within this much of any sane image… */
const headBytes = 512 * 1024;
/** …except for TIFF, which may have its tables at the end, and WebP, of which it takes no part. */
const wholeBytes = 32 * 1024 * 1024;

/** What is wanted of a picture of ours beside what it is. */
export interface PictureWish {
  /** Where the plain one goes that a server gets in its place; `null` where none is needed. */
  readonly plain: SpoolFile | null;
  /** What the server gets of an animation, or of pages. */
  readonly frames: 'first' | 'all';
  /** Whether somebody has looked at all its pixels. */
  readonly isChecked: boolean;
}

export class PictureProbe {
  readonly #deadlineMs: number;
  /** Each takes a processor for seconds, and memory by the size of its picture. */
  readonly #heics = new PQueue({ concurrency: 2 });

  constructor(deadlineMs: number) {
    this.#deadlineMs = deadlineMs;
  }

  /**
   * What the picture is. Of one that goes to a server as it is, and has no alpha, the pixels are `checked`
   * meanwhile; of any other they were looked at when this returns.
   *
   * @throws GatewayError `media_unsupported`, `media_corrupt`, `media_too_large`, `spool_full`; the
   *   signal's reason. `checked` rejects with the same.
   */
  async begin(
    path: string,
    head: Uint8Array,
    format: ImageFormat,
    limits: MediaLimits,
    wish: PictureWish,
    signal: AbortSignal,
  ): Promise<Probed> {
    const { maxImagePixels } = limits;
    const deadline = this.#deadline(signal);
    const failed = (error: unknown): never => {
      signal.throwIfAborted();
      throw pictureFault(error, maxImagePixels);
    };
    const opening = openPicture(path, format, maxImagePixels, wish.frames, deadline);
    const picture = await untilAborted(opening, deadline).catch(failed);
    const { header, isPlain } = picture;
    const size = screenOf(head, asShown(header, format), format);
    checkLimits({ kind: 'image', format, ...size }, limits);
    if (format !== 'tiff' || picture.sentFrames > 1)
      checkFrames(picture.frames, 'animation', limits);
    const frames = picture.sentFrames > 1 ? { frames: picture.sentFrames } : {};
    const info: ImageInfo = { kind: 'image', format, ...size, ...frames };
    if (isPlain && !header.hasAlpha && picture.sentFrames === 1) {
      const check = (opened: Opened) => checkPixels(picture, opened);
      const checked = wish.isChecked
        ? Promise.resolve()
        : untilAborted(withPixels(picture, maxImagePixels, check), deadline).catch(failed);
      // Who asked may be gone by then.
      checked.catch(() => {});
      return { info, made: null, checked };
    }
    const looking = this.#look(picture, size, maxImagePixels, wish.plain, deadline);
    const { hasAlpha, made } = await untilAborted(looking, deadline).catch(async (error) => {
      const removed = wish.plain && removedAfter(looking, wish.plain.path);
      if (!deadline.aborted) await removed;
      return failed(error);
    });
    return {
      info: { ...info, ...(hasAlpha ? { hasAlpha } : {}) },
      made,
      checked: Promise.resolve(),
    };
  }

  /** What the header of something remote says. */
  async header(
    source: RangeReader,
    head: Uint8Array,
    format: ImageFormat,
    limits: MediaLimits,
    signal: AbortSignal,
  ): Promise<ImageInfo> {
    const deadline = this.#deadline(signal);
    const maxBytes = format === 'tiff' || format === 'webp' ? wholeBytes : headBytes;
    const start = Buffer.from(await source.read(0, Math.min(source.size, maxBytes), signal));
    const options = { limitInputPixels: limits.maxImagePixels, failOn: 'none', pages: 1 } as const;
    try {
      const header = await untilAborted(sharp(start, options).metadata(), deadline);
      if (format !== 'tiff') checkFrames(header.pages ?? 1, 'animation', limits);
      const hasAlpha = header.hasAlpha ? { hasAlpha: true } : {};
      const size = screenOf(head, asShown(header, format), format);
      const info: ImageInfo = { kind: 'image', format, ...size, ...hasAlpha };
      checkLimits(info, limits);
      return info;
    } catch (error) {
      signal.throwIfAborted();
      throw pictureFault(error, limits.maxImagePixels);
    }
  }

  #deadline(signal: AbortSignal): AbortSignal {
    return AbortSignal.any([signal, AbortSignal.timeout(this.#deadlineMs)]);
  }

  /** Looks at every pixel, and makes a plain picture of one that is not. */
  async #look(
    picture: Picture,
    size: Size,
    maxPixels: number,
    plain: SpoolFile | null,
    signal: AbortSignal,
  ): Promise<{ readonly hasAlpha: boolean; readonly made: SentFile | null }> {
    const work = async (file: Opened) => {
      const opened = await readable(picture, file, signal);
      const { header, format } = picture;
      // Around a frame that is smaller than its screen, there is nothing.
      const isCorner = !isSameSize(size, asShown(header, format));
      const hasAlpha = isCorner || (header.hasAlpha && (await isTransparent(opened)));
      if (picture.isPlain) return { hasAlpha, made: null };
      if (!plain) {
        await checkPixels(picture, opened);
        return { hasAlpha, made: null };
      }
      signal.throwIfAborted();
      await writePlain(picture, opened, { size, hasAlpha }, plain.path).catch(noRoom);
      const { size: bytes } = await stat(plain.path);
      plain.onBytes(bytes);
      return { hasAlpha, made: { path: plain.path, bytes, format: madeFormat(picture) } };
    };
    const look = () => withPixels(picture, maxPixels, work);
    return picture.format === 'heic' ? await this.#heics.add(look, { signal }) : await look();
  }
}

/** Others paint the whole screen of a GIF; libvips takes one above 2048 pixels for a mistake, and its frame alone. */
function screenOf(head: Uint8Array, { width, height }: Size, format: ImageFormat): Size {
  if (format !== 'gif') return { width, height };
  const header = new DataView(head.buffer, head.byteOffset);
  return {
    width: Math.max(width, header.getUint16(6, true)),
    height: Math.max(height, header.getUint16(8, true)),
  };
}

/** libvips goes on while nobody waits for it any more, and what it leaves is nobody's. */
async function removedAfter(work: Promise<unknown>, path: string): Promise<void> {
  await work.catch(() => {});
  await rm(path, { force: true }).catch(() => {});
}

/** Of the system's errors, libvips passes on the words only. */
function noRoom(cause: unknown): never {
  if (
    !(cause instanceof Error && /No space left on device|Disk quota exceeded/.test(cause.message))
  ) {
    throw cause;
  }
  const message = 'The gateway has no room for the source at the moment';
  throw new GatewayError('spool_full', message, { cause });
}
