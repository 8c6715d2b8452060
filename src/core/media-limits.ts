import { GatewayError } from './errors.ts';
import type { MediaInfo } from './media.ts';

/** How large a source may be once it is decoded: what its file's bytes do not tell. */
export interface MediaLimits {
  readonly maxImagePixels: number;
  /** Of one frame. */
  readonly maxVideoPixels: number;
  /** Of a sound, too. */
  readonly maxVideoSeconds: number;
  /** Of an animation, too, although workflows get its first alone. */
  readonly maxVideoFrames: number;
}

/** What a workflow says of its sources, over what is said of all; in a version from before, nothing. */
export interface WorkflowLimits {
  /** Of a picture, or of one frame. */
  readonly maxPixels?: number;
  readonly maxSeconds?: number;
  readonly maxFrames?: number;
}

export const generousLimits: MediaLimits = {
  maxImagePixels: 100_000_000,
  maxVideoPixels: 8192 * 4320,
  maxVideoSeconds: 3_600,
  maxVideoFrames: 36_000,
};

/** For what workflows make. */
export const unlimited: WorkflowLimits = {
  maxPixels: Number.MAX_SAFE_INTEGER,
  maxSeconds: Number.MAX_SAFE_INTEGER,
  maxFrames: Number.MAX_SAFE_INTEGER,
};

export function limitsFor(own: WorkflowLimits, general: MediaLimits): MediaLimits {
  return {
    maxImagePixels: own.maxPixels ?? general.maxImagePixels,
    maxVideoPixels: own.maxPixels ?? general.maxVideoPixels,
    maxVideoSeconds: own.maxSeconds ?? general.maxVideoSeconds,
    maxVideoFrames: own.maxFrames ?? general.maxVideoFrames,
  };
}

/** libvips shrinks nothing by more than a million at once, and a whole row is shrunk to a pixel. */
const maxImageSide = 1_000_000;

/** @throws GatewayError `media_too_large`. */
export function checkLimits(info: MediaInfo, limits: MediaLimits): void {
  if (info.kind === 'audio') {
    checkSeconds(info.durationSeconds, 'sound', limits);
    return;
  }
  const pixels = info.width * info.height;
  if (info.kind === 'image') {
    if (pixels > limits.maxImagePixels) throw tooManyPixels(limits.maxImagePixels);
    if (Math.max(info.width, info.height) > maxImageSide) {
      throw tooLarge(
        `The image has ${info.width}x${info.height} pixels; ${maxImageSide} a side are the most`,
      );
    }
    return;
  }
  if (pixels > limits.maxVideoPixels) {
    throw tooLarge(
      `A frame of the video has ${info.width}x${info.height} pixels; ${limits.maxVideoPixels} in all are the most`,
    );
  }
  checkSeconds(info.durationSeconds, 'video', limits);
  checkFrames(info.frames, 'video', limits);
}

function checkSeconds(
  seconds: number,
  what: 'video' | 'sound',
  { maxVideoSeconds }: MediaLimits,
): void {
  if (seconds <= maxVideoSeconds) return;
  throw tooLarge(`The ${what} lasts ${Math.round(seconds)} s; ${maxVideoSeconds} are the most`);
}

/** @throws GatewayError `media_too_large`. */
export function checkFrames(
  frames: number | null,
  what: 'video' | 'animation',
  { maxVideoFrames }: MediaLimits,
): void {
  if (frames === null || frames <= maxVideoFrames) return;
  throw tooLarge(`The ${what} has ${frames} frames; ${maxVideoFrames} are the most`);
}

export function tooManyPixels(most: number): GatewayError {
  return tooLarge(`The image has more than ${most} pixels`);
}

function tooLarge(message: string): GatewayError {
  return new GatewayError('media_too_large', message);
}
