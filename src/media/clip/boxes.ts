import type { Scanner } from '../metadata/edit.ts';
import { type IsoTrack, readIsoTracks } from './iso-tracks.ts';
import { type MatroskaTrack, readMatroskaTracks } from './matroska-tracks.ts';

/** What a container says of its tracks beside what mediabunny reads, by their ids. */
export interface ContainerBoxes {
  readonly iso: ReadonlyMap<number, IsoTrack>;
  readonly matroska: ReadonlyMap<number, MatroskaTrack>;
}

/** A structure that mediabunny reads and this does not leaves it untold. */
export async function readBoxes(file: Scanner): Promise<ContainerBoxes> {
  const iso = await readIsoTracks(file).catch(() => new Map());
  const matroska = iso.size > 0 ? new Map() : await readMatroskaTracks(file).catch(() => new Map());
  return { iso, matroska };
}
