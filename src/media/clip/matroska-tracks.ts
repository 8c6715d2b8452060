import { children, type Element, readElement, readNumber } from '../metadata/ebml.ts';
import type { Scanner } from '../metadata/edit.ts';

/** What the entry of a track says beside what mediabunny reads (RFC 9559 §5.1.4). */
export interface MatroskaTrack {
  readonly isInterlaced: boolean | undefined;
  /** Nanoseconds; `null` where the track does not tell. */
  readonly frameNs: number | null;
}

const ids = {
  cluster: 0x1f43b675,
  tracks: 0x1654ae6b,
  entry: 0xae,
  number: 0xd7,
  frameNs: 0x23e383,
  video: 0xe0,
  flagInterlaced: 0x9a,
};

/** The tracks by their numbers, where they stand before the first cluster. @throws Error for damage. */
export async function readMatroskaTracks(file: Scanner): Promise<Map<number, MatroskaTrack>> {
  const tracks = new Map<number, MatroskaTrack>();
  const header = await readElement(file, 0, file.size);
  const segment = await readElement(file, header.end, file.size);
  for await (const element of children(file, segment)) {
    if (element.id === ids.cluster) break;
    if (element.id !== ids.tracks) continue;
    for await (const entry of children(file, element)) {
      if (entry.id === ids.entry) tracks.set(...(await readEntry(file, entry)));
    }
  }
  return tracks;
}

async function readEntry(
  file: Scanner,
  entry: Element,
): Promise<[number: number, track: MatroskaTrack]> {
  let number = 0;
  let frameNs: number | null = null;
  let isInterlaced: boolean | undefined;
  for await (const { id, content, end, ...element } of children(file, entry)) {
    if (id === ids.number) number = await readNumber(file, content, end);
    if (id === ids.frameNs) frameNs = await readNumber(file, content, end);
    if (id !== ids.video) continue;
    for await (const field of children(file, { id, content, end, ...element })) {
      if (field.id !== ids.flagInterlaced) continue;
      const flag = await readNumber(file, field.content, field.end);
      isInterlaced = flag === 0 ? undefined : flag === 1;
    }
  }
  return [number, { isInterlaced, frameNs }];
}
