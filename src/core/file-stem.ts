import { cutText } from './cut-text.ts';

const maxLength = 80;

/**
 * A file's name without folders and ending, as it may stand in a path, an object's key and a header:
 * letters and digits of any script, `.`, `_` and `-`. `result` where nothing is left of it.
 */
export function fileStem(name: string): string {
  const stem = name
    .replace(/^.*[/\\]/s, '')
    .replace(/\.[^.]*$/, '')
    .replace(/[^\p{L}\p{N}._-]+/gu, '_')
    .replace(/^\.+/, '');
  return cutText(stem, maxLength) || 'result';
}
