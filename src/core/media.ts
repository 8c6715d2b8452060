/** What a picture, a clip or a sound is, once its bytes (never its name or its header) were looked at. */

export const imageFormats = ['png', 'jpg', 'webp', 'gif', 'tiff', 'avif', 'heic'] as const;
export const videoFormats = ['mp4', 'mov', 'webm', 'mkv', 'ts', '3gp'] as const;
export const audioFormats = ['mp3', 'wav', 'flac', 'ogg', 'opus', 'm4a'] as const;

export type ImageFormat = (typeof imageFormats)[number];
export type VideoFormat = (typeof videoFormats)[number];
export type AudioFormat = (typeof audioFormats)[number];
export type MediaFormat = ImageFormat | VideoFormat | AudioFormat;

export const mediaKinds = ['image', 'video', 'audio'] as const;
export type MediaKind = (typeof mediaKinds)[number];

/** What can be seen: what services before this one took, and gave. */
export const pictureKinds = ['image', 'video'] as const;
export type PictureKind = (typeof pictureKinds)[number];

/** For sentences. */
export function withArticle(kind: MediaKind): string {
  return articles[kind];
}

const articles: Readonly<Record<MediaKind, string>> = {
  image: 'an image',
  video: 'a video',
  audio: 'a sound',
};

/** Of a picture that moves. */
export interface Animation {
  readonly frames: number;
  /** On average; `null` where each frame stays. */
  readonly fps: number | null;
  readonly durationSeconds: number;
}

/** A result that moves has what its animation has, beside that of a picture. */
export interface ImageInfo extends Partial<Animation> {
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

/**
 * The first video track of a clip, which is the one that ComfyUI's `LoadVideo` takes. Clips that were
 * probed by an older gateway lack the optional fields.
 */
export interface VideoInfo {
  readonly kind: 'video';
  readonly format: VideoFormat;
  /** Pixels, as a player shows it: square pixels, rotation applied. */
  readonly width: number;
  readonly height: number;
  /** Pixels of a frame as it is stored: before rotation, with pixels of whatever shape. */
  readonly stored?: { readonly width: number; readonly height: number };
  /** Degrees clockwise by which a player turns the stored frames. */
  readonly rotation?: Rotation;
  /** Seconds that the track is shown. */
  readonly durationSeconds: number;
  /** Frames a second, or `null` where the container does not tell. */
  readonly fps: number | null;
  /** Frames that are shown, as near as the container tells. */
  readonly frames: number | null;
  readonly isVariableRate?: boolean;
  /** `undefined` where neither the container nor the first frame tells. */
  readonly isInterlaced?: boolean | undefined;
  readonly codec: string | null;
  /** Bits of a sample; `undefined` where the codec's configuration does not tell. */
  readonly bitDepth?: number | undefined;
  /** Whether the transfer function is PQ or HLG. */
  readonly isHdr?: boolean;
  /** As the file says; `undefined` where it says nothing. */
  readonly color?: VideoColor | undefined;
  readonly hasAudio: boolean;
  /** In the order of the file. */
  readonly audioTracks?: readonly AudioTrackInfo[];
}

export type Rotation = 0 | 90 | 180 | 270;

/** Numbers of ITU-T H.273; 2 is "unspecified". */
export interface VideoColor {
  readonly primaries: number;
  readonly transfer: number;
  readonly matrix: number;
  readonly isFullRange: boolean;
}

export interface AudioTrackInfo {
  readonly channels: number;
  /** Hertz. */
  readonly sampleRate: number;
  readonly codec: string | null;
  /** Seconds by which the sound begins after the picture; less than 0 where it begins before. */
  readonly offsetSeconds: number;
  /** Such as `mono`, `stereo`, `5.1`; `null` for one that is unusual or not told. */
  readonly layout: string | null;
}

/** The first sound track of a file that has nothing else. */
export interface AudioInfo {
  readonly kind: 'audio';
  readonly format: AudioFormat;
  readonly durationSeconds: number;
  readonly codec: string | null;
  readonly channels: number;
  /** Hertz. */
  readonly sampleRate: number;
}

/** What can be seen. */
export type PictureInfo = ImageInfo | VideoInfo;
export type MediaInfo = PictureInfo | AudioInfo;

/** `null` for what has no size. */
export function pictureOf(info: MediaInfo | null): PictureInfo | null {
  return info === null || info.kind === 'audio' ? null : info;
}

const contentTypes: Readonly<Record<MediaFormat, string>> = {
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
  ts: 'video/mp2t',
  '3gp': 'video/3gpp',
  mp3: 'audio/mpeg',
  wav: 'audio/wav',
  flac: 'audio/flac',
  ogg: 'audio/ogg',
  opus: 'audio/ogg',
  m4a: 'audio/mp4',
};

/** The format's name is also its file extension. */
export function contentTypeOf(format: MediaFormat): string {
  return contentTypes[format];
}

export function mediaKindOf(format: MediaFormat): MediaKind {
  if ((imageFormats as readonly string[]).includes(format)) return 'image';
  return (audioFormats as readonly string[]).includes(format) ? 'audio' : 'video';
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
  if (extension === 'mts' || extension === 'm2ts') return 'ts';
  if (extension === 'heif') return 'heic';
  if (extension === 'oga') return 'ogg';
  return Object.hasOwn(contentTypes, extension) ? (extension as MediaFormat) : null;
}
