import { contentTypeOf, formatOfName, type MediaFormat, mediaKindOf, mediaKinds } from './media.ts';

/** What a workflow makes. */
export const resultKinds = [...mediaKinds, '3d', 'text', 'latent'] as const;
export type ResultKind = (typeof resultKinds)[number];

/** For sentences. */
export function severalOf(kind: ResultKind): string {
  return plurals[kind];
}

const plurals: Readonly<Record<ResultKind, string>> = {
  image: 'images',
  video: 'videos',
  audio: 'sounds',
  '3d': '3D models',
  text: 'texts',
  latent: 'latents',
};

/** What results may be beside pictures, clips and sounds, each by its file extension. */
const otherTypes = {
  svg: 'image/svg+xml',
  exr: 'image/x-exr',
  glb: 'model/gltf-binary',
  gltf: 'model/gltf+json',
  obj: 'model/obj',
  stl: 'model/stl',
  usdz: 'model/vnd.usdz+zip',
  fbx: 'application/octet-stream',
  ply: 'application/octet-stream',
  splat: 'application/octet-stream',
  ksplat: 'application/octet-stream',
  spz: 'application/octet-stream',
  txt: 'text/plain; charset=utf-8',
  md: 'text/markdown; charset=utf-8',
  csv: 'text/csv; charset=utf-8',
  json: 'application/json',
  latent: 'application/octet-stream',
} as const;

export type OtherFormat = keyof typeof otherTypes;
export type ResultFormat = MediaFormat | OtherFormat;

/** The format that a file name's ending promises, or `null`. */
export function resultFormatOfName(name: string): ResultFormat | null {
  const media = formatOfName(name);
  if (media) return media;
  const extension = name.slice(name.lastIndexOf('.') + 1).toLowerCase();
  return isOther(extension) ? extension : null;
}

export function resultTypeOf(format: ResultFormat): string {
  return isOther(format) ? otherTypes[format] : contentTypeOf(format);
}

export function isMediaFormat(format: ResultFormat): format is MediaFormat {
  return !isOther(format);
}

/** Whether a browser that opens it by itself would run what is in it. */
export function mayRunScripts(contentType: string): boolean {
  return contentType.startsWith('image/svg+xml');
}

/** A drawing is a picture, too. */
export function kindOfFormat(format: ResultFormat): ResultKind {
  if (!isOther(format)) return mediaKindOf(format);
  if (format === 'svg' || format === 'exr') return 'image';
  if (isTextFormat(format)) return 'text';
  return format === 'latent' ? 'latent' : '3d';
}

const textFormats: readonly OtherFormat[] = ['txt', 'md', 'csv', 'json'];

function isTextFormat(format: OtherFormat): boolean {
  return textFormats.includes(format);
}

function isOther(name: string): name is OtherFormat {
  return Object.hasOwn(otherTypes, name);
}
