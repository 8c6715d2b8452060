import type { ResultKind } from './result-format.ts';
import type { Source } from './task.ts';

/**
 * Which source is read for each input: where several have one address, and take the same kind of file, the first of
 * them for all.
 */
export function readFor(
  sources: readonly Source[],
  kindAt: (input: string) => ResultKind,
): ReadonlyMap<string, Source> {
  const first = new Map<string, Source>();
  return new Map(
    sources.map((source) => {
      const file = `${kindAt(source.input)} ${source.url}`;
      const read = first.get(file) ?? source;
      first.set(file, read);
      return [source.input, read];
    }),
  );
}
