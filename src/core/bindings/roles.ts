import type { MediaKind } from '../media.ts';
import type { ResultKind } from '../result-format.ts';

/** What is known of node classes: which ones read a task's file, and which ones write a result. */

export interface ReaderRole {
  /** Takes the file's name, as the server's input folder knows it. */
  readonly field: string;
  readonly kind: MediaKind;
  /** The title that the editor gives it by itself. */
  readonly title: string;
}

/** Path loaders are left out: they look from the server's working folder, not from its input folder. */
const readers: Readonly<Record<string, ReaderRole>> = {
  LoadImage: { field: 'image', kind: 'image', title: 'Load Image' },
  LoadImageMask: { field: 'image', kind: 'image', title: 'Load Image (as Mask)' },
  LoadVideo: { field: 'file', kind: 'video', title: 'Load Video' },
  VHS_LoadVideo: { field: 'video', kind: 'video', title: 'Load Video (Upload) 🎥🅥🅗🅢' },
  VHS_LoadVideoFFmpeg: { field: 'video', kind: 'video', title: 'Load Video FFmpeg (Upload) 🎥🅥🅗🅢' },
  LoadAudio: { field: 'audio', kind: 'audio', title: 'Load Audio' },
  VHS_LoadAudioUpload: {
    field: 'audio',
    kind: 'audio',
    title: 'Load Audio (Upload) 🎥🅥🅗🅢',
  },
  LoadAndResizeImage: { field: 'image', kind: 'image', title: 'Load & Resize Image' },
};

/** Loaders that take a path; for each, the one that takes a file of the input folder. */
const pathReaders: Readonly<Record<string, string>> = {
  VHS_LoadVideoPath: 'VHS_LoadVideo',
  VHS_LoadVideoFFmpegPath: 'VHS_LoadVideoFFmpeg',
  VHS_LoadImagePath: 'LoadImage',
  VHS_LoadAudio: 'VHS_LoadAudioUpload',
  'Image Load': 'LoadImage',
};

export interface WriterRole {
  /** Through which the pictures arrive, or what holds them; `null` for what is no picture. */
  readonly pictures: string | null;
  readonly kind: ResultKind;
  /** Takes the beginning of the file's name, folders included; `null` where none does. */
  readonly prefix: string | null;
  readonly title: string;
}

const prefix = 'filename_prefix';

const writers: Readonly<Record<string, WriterRole>> = {
  SaveImage: { pictures: 'images', kind: 'image', prefix, title: 'Save Image' },
  SaveImageAdvanced: { pictures: 'images', kind: 'image', prefix, title: 'Save Image (Advanced)' },
  SaveAnimatedWEBP: { pictures: 'images', kind: 'image', prefix, title: 'Save Animated WEBP' },
  SaveAnimatedPNG: { pictures: 'images', kind: 'image', prefix, title: 'Save Animated PNG' },
  SaveVideo: { pictures: 'video', kind: 'video', prefix, title: 'Save Video' },
  SaveWEBM: { pictures: 'images', kind: 'video', prefix, title: 'Save WEBM' },
  VHS_VideoCombine: { pictures: 'images', kind: 'video', prefix, title: 'Video Combine 🎥🅥🅗🅢' },
  // It makes no folder for its prefix.
  'Image Save': { pictures: 'images', kind: 'image', prefix: null, title: 'Image Save' },
  SaveSVGNode: { pictures: null, kind: 'image', prefix, title: 'Save SVG' },
  SaveAudio: { pictures: null, kind: 'audio', prefix, title: 'Save Audio (FLAC)' },
  SaveAudioMP3: { pictures: null, kind: 'audio', prefix, title: 'Save Audio (MP3)' },
  SaveAudioOpus: { pictures: null, kind: 'audio', prefix, title: 'Save Audio (Opus)' },
  SaveAudioAdvanced: { pictures: null, kind: 'audio', prefix, title: 'Save Audio (Advanced)' },
  SaveGLB: { pictures: null, kind: '3d', prefix, title: 'Save 3D Model' },
  SaveLatent: { pictures: null, kind: 'latent', prefix, title: 'SaveLatent' },
  SaveText: { pictures: null, kind: 'text', prefix, title: 'Save Text' },
  ...texts([
    ['PreviewAny', 'Preview Any'],
    ['ShowText|pysssss', 'Show Text 🐍'],
    ['SaveText|pysssss', 'Save Text 🐍'],
    ['Display Any (rgthree)', 'Display Any (rgthree)'],
    ['easy showAnything', 'Show Any'],
  ]),
};

/** Nodes that show a text: what they show is all there is. */
function texts(classes: readonly (readonly [string, string])[]): Record<string, WriterRole> {
  return Object.fromEntries(
    classes.map(([name, title]) => [name, { pictures: null, kind: 'text', prefix: null, title }]),
  );
}

/** Nodes that show a result without keeping it: results only where a title or the sidecar says so. */
const previews: Readonly<Record<string, WriterRole>> = {
  PreviewImage: { pictures: 'images', kind: 'image', prefix: null, title: 'Preview Image' },
  PreviewAudio: { pictures: null, kind: 'audio', prefix: null, title: 'Preview Audio' },
  Preview3D: { pictures: null, kind: '3d', prefix: null, title: 'Preview 3D' },
};

/** Nodes on the way from the pictures to a `SaveVideo`, and the field to follow backwards. */
const carriers: Readonly<Record<string, string>> = { CreateVideo: 'images' };

export const writerClasses: readonly string[] = Object.keys(writers);

export function readerRole(className: string): ReaderRole | null {
  return lookUp(readers, className);
}

/** The class to use instead of one that takes a path; `null` for any other class. */
export function insteadOfPathReader(className: string): string | null {
  return lookUp(pathReaders, className);
}

export function writerRole(className: string): WriterRole | null {
  return lookUp(writers, className);
}

export function previewRole(className: string): WriterRole | null {
  return lookUp(previews, className);
}

export function carriedField(className: string): string | null {
  return lookUp(carriers, className);
}

function lookUp<Value>(table: Readonly<Record<string, Value>>, className: string): Value | null {
  return Object.hasOwn(table, className) ? (table[className] as Value) : null;
}
