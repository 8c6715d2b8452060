/** What a picture or a clip is, once its bytes (never its name or its header) were looked at. */

export const imageFormats = ['png', 'jpg', 'webp', 'gif', 'tiff', 'avif', 'heic'] as const;
export const videoFormats = ['mp4', 'mov', 'webm', 'mkv'] as const;

export type ImageFormat = (typeof imageFormats)[number];
export type VideoFormat = (typeof videoFormats)[number];
export type MediaFormat = ImageFormat | VideoFormat;

export const mediaKinds = ['image', 'video'] as const;
export type MediaKind = (typeof mediaKinds)[number];

/** For sentences. */
export function withArticle(kind: MediaKind): string {
  return kind === 'image' ? 'an image' : 'a video';
}

export interface ImageInfo {
  readonly kind: 'image';
  readonly format: ImageFormat;
  /** Pixels, as a viewer shows it (EXIF orientation applied). */
  readonly width: number;
  readonly height: number;
  /** Whether something is seen through it; left out where not, and of rows from before. */
  readonly hasAlpha?: boolean;
  /** How many of its frames, or pages, a server gets; left out for one. */
  readonly frames?: number;
}

export interface VideoInfo {
  readonly kind: 'video';
  readonly format: VideoFormat;
  /** Pixels, as a player shows it (rotation applied). */
  readonly width: number;
  readonly height: number;
  readonly durationSeconds: number;
  /** Frames a second, or `null` where the container does not tell. */
  readonly fps: number | null;
  /** Frames in all, as near as the container tells. */
  readonly frames: number | null;
  readonly codec: string | null;
  readonly hasAudio: boolean;
}

export type MediaInfo = ImageInfo | VideoInfo;

const contentTypes: Record<MediaFormat, string> = {
  png: 'image/png',
  jpg: 'image/jpeg',
  webp: 'image/webp',
  gif: 'image/gif',
  tiff: 'image/tiff',
  avif: 'image/avif',
  heic: 'image/heic',
  mp4: 'video/mp4',
  mov: 'video/quicktime',
  webm: 'video/webm',
  mkv: 'video/x-matroska',
};

/** The format's name is also its file extension. */
export function contentTypeOf(format: MediaFormat): string {
  return contentTypes[format];
}

export function mediaKindOf(format: MediaFormat): MediaKind {
  return (imageFormats as readonly string[]).includes(format) ? 'image' : 'video';
}

/** By the first half of the type. */
export function mediaKindOfType(contentType: string): MediaKind | null {
  return mediaKinds.find((kind) => contentType.startsWith(`${kind}/`)) ?? null;
}

/** The format that a file name's ending promises, or `null`. */
export function formatOfName(name: string): MediaFormat | null {
  const extension = name.slice(name.lastIndexOf('.') + 1).toLowerCase();
  if (extension === 'jpeg') return 'jpg';
  if (extension === 'tif') return 'tiff';
  if (extension === 'heif') return 'heic';
  return Object.hasOwn(contentTypes, extension) ? (extension as MediaFormat) : null;
}
