import type { Edit, Scanner } from './edit.ts';
import { boxesIn, findBox, type IsoBox } from './iso-boxes.ts';

/** Version and flags, which begin a full box. */
const fullBytes = 4;

/** Blanks items with EXIF and XMP; how the picture is turned stands elsewhere (ISO 23008-12 §A.2). */
export async function avifEdits(file: Scanner): Promise<Edit[]> {
  const meta = await findBox(file, 0, file.size, 'meta');
  if (!meta) return [];
  const inMeta = (type: string) => findBox(file, meta.content + fullBytes, meta.end, type);
  const [names, places, data] = [await inMeta('iinf'), await inMeta('iloc'), await inMeta('idat')];
  if (!names || !places) return [];
  const said = await itemsSaid(file, names);
  const extents = await extentsOf(file, places, data?.content ?? 0);
  return extents
    .filter(({ item, end }) => said.has(item) && end <= file.size)
    .map(({ start, end }) => ({ start, end, bytes: 'zeros' as const }))
    .sort((a, b) => a.start - b.start);
}

/** Numbers of items that are said of the picture (`infe`, ISO 14496-12 §8.11.6). */
async function itemsSaid(file: Scanner, { content, end }: IsoBox): Promise<Set<number>> {
  const items = new Set<number>();
  const [version = 0] = await file.bytes(content, 1);
  for await (const box of boxesIn(file, content + fullBytes + (version === 0 ? 2 : 4), end)) {
    const [entryVersion = 0] = await file.bytes(box.content, 1);
    const idBytes = entryVersion === 3 ? 4 : 2;
    const entry = await file.bytes(box.content + fullBytes, idBytes + 6);
    const type = entry.toString('latin1', idBytes + 2);
    if (type === 'Exif' || type === 'mime') items.add(entry.readUIntBE(0, idBytes));
  }
  return items;
}

interface Extent {
  readonly item: number;
  readonly start: number;
  readonly end: number;
}

/** Where items lie (`iloc`, ISO 14496-12 §8.11.3). */
async function extentsOf(
  file: Scanner,
  { content, end }: IsoBox,
  dataStart: number,
): Promise<Extent[]> {
  const box = await file.bytes(content, end - content);
  const version = box.readUInt8(0);
  const [offsetBytes, lengthBytes] = [box.readUInt8(4) >> 4, box.readUInt8(4) & 15];
  const [baseBytes, indexBytes] = [
    box.readUInt8(5) >> 4,
    version === 0 ? 0 : box.readUInt8(5) & 15,
  ];
  let at = 6;
  const next = (bytes: number) => {
    at += bytes;
    if (at > box.length) throw new Error('It is not whole');
    return bytes === 0 ? 0 : Number(`0x${box.toString('hex', at - bytes, at)}`);
  };
  const idBytes = version < 2 ? 2 : 4;
  const extents: Extent[] = [];
  for (let items = next(idBytes); items > 0; items -= 1) {
    const item = next(idBytes);
    const isInData = version > 0 && (next(2) & 15) === 1;
    next(2);
    const base = next(baseBytes) + (isInData ? dataStart : 0);
    for (let count = next(2); count > 0; count -= 1) {
      next(indexBytes);
      const start = base + next(offsetBytes);
      extents.push({ item, start, end: start + next(lengthBytes) });
    }
  }
  return extents;
}
