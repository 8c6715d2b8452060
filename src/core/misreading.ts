import { clipUse } from './clip-use.ts';
import type { MediaInfo } from './media.ts';
import { mayBeMisread, serverFaults } from './server-faults.ts';
import type { Workflow } from './workflow.ts';

/** How much a server of a version gets wrong of a task's sources; infinite where it must not get them. */
export type Misreading = (version: string | null) => number;

/** `null` where no version gets anything wrong. `sources`: what they are, by the input. */
export function misreading(
  workflow: Pick<Workflow, 'graph' | 'parameters' | 'inputs'>,
  sources: ReadonlyMap<string, { readonly info: MediaInfo }>,
): Misreading | null {
  const clips = workflow.inputs.flatMap(({ name, slot }) => {
    const info = sources.get(name)?.info;
    const use = clipUse(workflow, slot);
    return info && mayBeMisread(info, use) ? [{ info, use }] : [];
  });
  if (clips.length === 0) return null;
  // A pool has few versions, and asks again and again.
  const known = new Map<string | null, number>();
  return (version) => {
    const count =
      known.get(version) ??
      clips
        .flatMap(({ info, use }) => serverFaults(version, info, use))
        .reduce((sum, { isFatal }) => sum + (isFatal ? Number.POSITIVE_INFINITY : 1), 0);
    known.set(version, count);
    return count;
  };
}
