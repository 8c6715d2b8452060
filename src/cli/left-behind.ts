import { isAbsolute, relative } from 'node:path';
import type { Config } from '../config/config.ts';

/** What the demo leaves on this machine and elsewhere, and how to be rid of it. */
export function leftBehind({ dataDir, databaseUrl, storage }: Config): string {
  const folder = shortPath(dataDir);
  const isOnDisk = storage.driver === 'disk';
  const own = [...(isOnDisk ? ['results'] : []), ...(databaseUrl ? [] : ['records'])];
  const elsewhere = [
    ...(isOnDisk ? [] : ['The results stay in your bucket.']),
    ...(databaseUrl ? ['The records stay in your database.'] : []),
  ];
  if (own.length === 0) return elsewhere.join('\n');
  return [
    `The demo leaves its ${own.join(' and ')} in the folder ${folder}.`,
    ...elsewhere,
    'This command removes them, once the demo has stopped, and all else that npm start keeps there:',
    `  rm -r ${quoted(folder)}`,
  ].join('\n');
}

/** From here, where it lies below. */
export function shortPath(path: string): string {
  const fromHere = relative(process.cwd(), path);
  const isBelow = fromHere !== '' && !fromHere.startsWith('..') && !isAbsolute(fromHere);
  return isBelow ? fromHere : path;
}

/** For a shell. */
function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`;
}
