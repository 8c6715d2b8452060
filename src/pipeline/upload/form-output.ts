import { stat } from 'node:fs/promises';
import type { Delivery } from '../../core/delivery.ts';
import { GatewayError } from '../../core/errors.ts';
import { type ClipPlan, type ClipStart, clipFault } from '../../core/made-clip.ts';
import {
  type Animation,
  type ImageFormat,
  type MediaInfo,
  pictureOf,
  type VideoFormat,
} from '../../core/media.ts';
import { unlimited } from '../../core/media-limits.ts';
import { isSameSize, type Size } from '../../core/picture-size.ts';
import { isMediaFormat, kindOfFormat, type ResultFormat } from '../../core/result-format.ts';
import { animationOf } from '../../media/animation.ts';
import { clipStart } from '../../media/clip-start.ts';
import type { Encoding, ImageEncoder } from '../../media/image-encoder.ts';
import type { Scanner } from '../../media/metadata/edit.ts';
import { canBeEdited, findEdits, scan } from '../../media/metadata/find-edits.ts';
import type { Wish } from '../../media/metadata/wish.ts';
import type { MediaProbe } from '../../media/probe.ts';
import { sniffBytes } from '../../media/sniff.ts';
import { sniffResult } from '../../media/sniff-result.ts';
import type { Spool } from '../../media/spool.ts';
import type { ByteSource } from '../../storage/object-store.ts';
import { editedSource } from './edited-source.ts';
import { fetchResult, fileSource, readerOf } from './result-bytes.ts';

export interface FormParts {
  readonly probe: MediaProbe;
  readonly encoder: ImageEncoder;
  readonly spool: Spool;
  /** Whether small pictures are made of pictures. */
  readonly thumbnails: boolean;
}

export interface WantedForm {
  /** For whom files are spooled. */
  readonly owner: string;
  /** What its server calls it. */
  readonly name: string;
  readonly delivery: Delivery;
  /** The size that the graph could not give it; `null` keeps its own. */
  readonly size: Size | null;
  /** Of a clip, what is known of it beforehand. */
  readonly clip: ClipPlan;
}

/** A result as it is handed over. */
export interface FormedOutput {
  readonly source: ByteSource;
  /** `null` for something of which nothing is known. */
  readonly format: ResultFormat | null;
  /** What its own header says; `null` where that cannot be told. */
  readonly info: MediaInfo | null;
  /** Whether what ComfyUI wrote into it, the whole graph, may be in it still. */
  readonly keepsMetadata: boolean;
  /** Makes a small WebP of it; `null` where none is to be had. */
  readonly thumbnail: (signal: AbortSignal) => Promise<Buffer | null>;
}

interface Shaped extends Pick<FormedOutput, 'source' | 'keepsMetadata' | 'thumbnail'> {
  /** `null` for a picture that does not move, or was not looked at. */
  readonly animation: Animation | null;
}

/**
 * Brings a result into the form that was asked for. Pictures are fetched to our disk, once, unless
 * nothing is to be done with them; of a video only the headers are read before it is stored.
 *
 * @throws GatewayError as `ImageEncoder.encode`; `invalid_request` for a size that an animation cannot
 *   have; `output_broken`, `output_truncated`, `spool_full`; whatever `made.open` throws.
 */
export async function formOutput(
  parts: FormParts,
  made: ByteSource,
  wanted: WantedForm,
  signal: AbortSignal,
): Promise<FormedOutput> {
  const head = await readerOf(made).read(0, Math.min(made.size, sniffBytes), signal);
  const format = await sniffResult(head, wanted.name);
  if (format === null) {
    const asItIs = { keepsMetadata: true, info: null, thumbnail: noThumbnail };
    return { source: made, format, ...asItIs };
  }
  if (!isMediaFormat(format) || kindOfFormat(format) === 'audio') {
    return await shapeOther(parts, made, format, wanted, signal);
  }
  if (kindOfFormat(format) === 'video') {
    return await shapeClip(parts, made, format as VideoFormat, wanted, signal);
  }
  const shaped = await shapeImage(parts, made, format as ImageFormat, wanted, signal);
  const { animation, ...rest } = shaped;
  const shown = await describe(parts.probe, shaped.source, signal);
  const info = shown?.kind === 'image' ? { ...shown, ...animation } : shown;
  return { ...rest, format: info?.format ?? format, info };
}

const noThumbnail = async () => null;

/** A sound, a drawing or anything else that is stored as it was made, without its graph. */
async function shapeOther(
  { probe }: FormParts,
  made: ByteSource,
  format: ResultFormat,
  { delivery }: WantedForm,
  signal: AbortSignal,
): Promise<FormedOutput> {
  const info = isMediaFormat(format) ? await describe(probe, made, signal) : null;
  const file = scan(readerOf(made), signal);
  const wish = { keepsMetadata: delivery.keepsMetadata, colour: null };
  const edit = await edited(made, file, format, wish, signal);
  return { ...edit, format, info, thumbnail: noThumbnail };
}

/** A clip is looked at by its tables alone, and says what its colours are unless it does already. */
async function shapeClip(
  { probe }: FormParts,
  made: ByteSource,
  format: VideoFormat,
  { delivery, clip }: WantedForm,
  signal: AbortSignal,
): Promise<FormedOutput> {
  const info = await describe(probe, made, signal);
  const file = scan(readerOf(made), signal);
  const start = await startOf(file, format, signal);
  const about = info?.kind === 'video' ? info.frames : null;
  const fault = start && clipFault(clip, start, about);
  if (fault) throw new GatewayError('output_broken', fault);
  const tells = info?.kind === 'video' && info.color !== undefined;
  const wish = { keepsMetadata: delivery.keepsMetadata, colour: tells ? null : clip.colour };
  const edit = await edited(made, file, format, wish, signal);
  return { ...edit, format: info?.format ?? format, info, thumbnail: noThumbnail };
}

/** `null` for a file whose structure we cannot follow. */
async function startOf(
  file: Scanner,
  format: VideoFormat,
  signal: AbortSignal,
): Promise<ClipStart | null> {
  try {
    return await clipStart(file, format);
  } catch (error) {
    return unlessOurs(error, signal, null);
  }
}

async function shapeImage(
  { probe, encoder, spool, thumbnails }: FormParts,
  made: ByteSource,
  format: ImageFormat,
  wanted: WantedForm,
  signal: AbortSignal,
): Promise<Shaped> {
  const { owner, delivery, size } = wanted;
  const isKept = delivery.keepsMetadata && delivery.format === null && size === null;
  if (isKept && !thumbnails) {
    return { source: made, keepsMetadata: true, animation: null, thumbnail: noThumbnail };
  }

  const { path, onBytes } = spool.file(owner, 'made');
  await fetchResult({ path, onBytes }, made, signal);
  const local = fileSource(path, made.size);
  const thumbnail = async (signal: AbortSignal) =>
    thumbnails ? await encoder.thumbnail(path, signal) : null;

  const picture = { path, reader: readerOf(local), format };
  const animation = await animationOf(picture, signal);
  const isAnimated = animation !== null;
  const info = size && pictureOf(await describe(probe, local, signal));
  const encoding = {
    ...encodingOf(format, delivery, isAnimated),
    size: size && info && isSameSize(size, info) ? null : size,
  };
  if (encoding.format === null && encoding.size === null) {
    const wish = { keepsMetadata: delivery.keepsMetadata, colour: null };
    const file = scan(readerOf(local), signal);
    return { ...(await edited(local, file, format, wish, signal)), animation, thumbnail };
  }
  if (isAnimated && format === 'png') {
    throw new GatewayError(
      'invalid_request',
      'The result is an animated PNG, whose size cannot be changed; leave the size out',
    );
  }
  const formed = spool.file(owner, 'formed');
  await encoder.encode(path, formed.path, encoding, signal);
  const { size: bytes } = await stat(formed.path);
  formed.onBytes(bytes);
  const source = fileSource(formed.path, bytes);
  return { source, keepsMetadata: delivery.keepsMetadata, animation, thumbnail };
}

/**
 * An animation that the format cannot hold stays what it is, and so does what has the format already:
 * it would only lose by being encoded again.
 */
function encodingOf(
  own: ImageFormat,
  { format: wanted, quality, keepsMetadata }: Delivery,
  isAnimated: boolean,
): Omit<Encoding, 'size'> {
  const canHold = !isAnimated || (wanted === 'webp' && own === 'gif');
  const isNew = wanted !== null && canHold && (wanted !== own || quality !== null);
  const format = isNew ? wanted : null;
  return { format, quality: isNew || wanted === own ? quality : null, keepsMetadata };
}

/** A file whose structure we cannot follow holds what it holds. */
async function edited(
  source: ByteSource,
  file: Scanner,
  format: ResultFormat,
  wish: Wish,
  signal: AbortSignal,
): Promise<Pick<FormedOutput, 'source' | 'keepsMetadata'>> {
  try {
    const edits = await findEdits(file, format, wish);
    const keepsMetadata = wish.keepsMetadata || !canBeEdited(format);
    return { source: editedSource(source, edits), keepsMetadata };
  } catch (error) {
    return unlessOurs(error, signal, { source, keepsMetadata: true });
  }
}

function unlessOurs<T>(error: unknown, signal: AbortSignal, otherwise: T): T {
  signal.throwIfAborted();
  if (error instanceof GatewayError) throw error;
  return otherwise;
}

/** What the result is, from its own header. */
async function describe(
  probe: MediaProbe,
  source: ByteSource,
  signal: AbortSignal,
): Promise<MediaInfo | null> {
  try {
    return await probe.probe(readerOf(source), signal, unlimited);
  } catch {
    signal.throwIfAborted();
    return null;
  }
}
