import { type ResultFormat, resultFormatOfName } from '../core/result-format.ts';
import { sniffBuffer } from './sniff.ts';

/** What a file begins with, as Latin-1. */
const signatures: readonly (readonly [ResultFormat, RegExp])[] = [
  ['glb', /^glTF/],
  [
    'svg',
    /^(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--(?:(?!-->).)*-->\s*)*(?:<!DOCTYPE[^>[]*>\s*)?<svg[\s>]/is,
  ],
];

/** Formats that begin as they like: of these, the name tells. */
const byName: ReadonlySet<ResultFormat> = new Set([
  ...(['gltf', 'obj', 'stl', 'usdz', 'fbx', 'ply', 'splat', 'ksplat', 'spz'] as const),
  ...(['txt', 'md', 'csv', 'json', 'latent'] as const),
]);

/** The format of a result, by its first bytes, and by its name where bytes do not tell; else `null`. */
export async function sniffResult(head: Uint8Array, name: string): Promise<ResultFormat | null> {
  const media = await sniffBuffer(head);
  if (media) return media;
  const text = Buffer.from(head).toString('latin1');
  if (text.startsWith('v/1\x01')) return 'exr';
  const signed = signatures.find(([, pattern]) => pattern.test(text));
  if (signed) return signed[0];
  const named = resultFormatOfName(name);
  return named !== null && byName.has(named) ? named : null;
}
