import type { Scanner } from '../metadata/edit.ts';
import { boxesIn, type IsoBox } from '../metadata/iso-boxes.ts';
import { leastLayoutBytes, quickTimeLayout } from './quicktime-layout.ts';

/** What the boxes of a track say beside what mediabunny reads (ISO 14496-12, QuickTime). */
export interface IsoTrack {
  readonly timescale: number;
  /** A recorder that could not know the length left it open. */
  readonly isDurationUnknown: boolean;
  /** What of the track is shown, one after the other; none: all of it. */
  readonly edits: readonly IsoEdit[];
  /** When each sample is shown, in ticks of the track; `null` where they lie in fragments. */
  readonly sampleTicks: SampleTicks | null;
  readonly isInterlaced: boolean | undefined;
  /** The channels of a sound track, where it names them; `null` for unusual ones. */
  readonly layout: string | null | undefined;
}

export interface IsoEdit {
  /** Ticks of the track. */
  readonly from: number;
  /** Ticks of the track; infinite: to its end. */
  readonly length: number;
  /** Seconds at which it is shown. */
  readonly at: number;
}

export interface SampleTicks {
  readonly ticks: Float64Array;
  /** Samples in all, which may be more. */
  readonly count: number;
  /** Where the last one that is stored ends. */
  readonly end: number;
}

/** Nobody cuts a clip into so many pieces. */
const mostEdits = 100;
/** Nine hours at 60 frames a second; of more, those further behind are not looked at. */
const mostSamples = 2_000_000;
const rowsAtOnce = 8_192;

/** The tracks by their ids. @throws Error for a structure that is damaged. */
export async function readIsoTracks(file: Scanner): Promise<Map<number, IsoTrack>> {
  const tracks = new Map<number, IsoTrack>();
  const movie = await find(file, { content: 0, end: file.size }, 'moov');
  const movieHeader = movie && (await find(file, movie, 'mvhd'));
  if (!movie || !movieHeader) return tracks;
  const { timescale: movieTimescale } = await readHeader(file, movieHeader);
  const isInFragments = (await find(file, movie, 'mvex')) !== null;
  for await (const box of boxesIn(file, movie.content, movie.end)) {
    if (box.type !== 'trak') continue;
    const track = await readTrack(file, box, { movieTimescale, isInFragments });
    if (track) tracks.set(...track);
  }
  return tracks;
}

async function readTrack(
  file: Scanner,
  trak: IsoBox,
  { movieTimescale, isInFragments }: { movieTimescale: number; isInFragments: boolean },
): Promise<[id: number, track: IsoTrack] | null> {
  const trackHeader = await find(file, trak, 'tkhd');
  const mediaHeader = await find(file, trak, 'mdia', 'mdhd');
  const table = await find(file, trak, 'mdia', 'minf', 'stbl');
  const description = table && (await find(file, table, 'stsd'));
  if (!trackHeader || !mediaHeader || !table || !description) return null;
  const [version = 0] = await file.bytes(trackHeader.content, 1);
  const id = (await file.bytes(trackHeader.content + (version === 1 ? 20 : 12), 4)).readUInt32BE();
  const { timescale, isDurationUnknown } = await readHeader(file, mediaHeader);
  const list = await find(file, trak, 'edts', 'elst');
  const edits = list ? await readEdits(file, list, timescale / movieTimescale, movieTimescale) : [];
  const sampleTicks = isInFragments ? null : await readSampleTicks(file, table);
  const described = await readDescription(file, description);
  return [id, { timescale, isDurationUnknown, edits, sampleTicks, ...described }];
}

/** Of a film (`mvhd`) or a track (`mdhd`). */
async function readHeader(
  file: Scanner,
  { content }: IsoBox,
): Promise<{ timescale: number; isDurationUnknown: boolean }> {
  const [version = 0] = await file.bytes(content, 1);
  const bytes = await file.bytes(content + (version === 1 ? 20 : 12), version === 1 ? 12 : 8);
  const timescale = bytes.readUInt32BE(0);
  if (timescale === 0) throw new Error('Its clock stands still');
  return { timescale, isDurationUnknown: bytes.subarray(4).every((byte) => byte === 0xff) };
}

async function readEdits(
  file: Scanner,
  { content, end }: IsoBox,
  ticksPerMovieTick: number,
  movieTimescale: number,
): Promise<IsoEdit[]> {
  const head = await file.bytes(content, 8);
  const isLong = head.readUInt8(0) === 1;
  const rowBytes = isLong ? 20 : 12;
  const count = Math.min(
    head.readUInt32BE(4),
    mostEdits,
    Math.trunc((end - content - 8) / rowBytes),
  );
  const rows = await file.bytes(content + 8, count * rowBytes);
  const edits: IsoEdit[] = [];
  let passed = 0;
  for (let at = 0; at < rows.length; at += rowBytes) {
    const duration = isLong ? Number(rows.readBigUInt64BE(at)) : rows.readUInt32BE(at);
    const from = isLong ? Number(rows.readBigInt64BE(at + 8)) : rows.readInt32BE(at + 4);
    // A recording in fragments does not know its length when this is written.
    const length =
      duration === 0 ? Number.POSITIVE_INFINITY : Math.round(duration * ticksPerMovieTick);
    // One with nothing to show moves what follows.
    if (from >= 0) edits.push({ from, length, at: passed / movieTimescale });
    passed += duration;
  }
  return edits;
}

/** When samples are decoded (`stts`), and by how much later they are shown (`ctts`). */
async function readSampleTicks(file: Scanner, table: IsoBox): Promise<SampleTicks | null> {
  const decoded = await find(file, table, 'stts');
  const shown = await find(file, table, 'ctts');
  const sizes = (await find(file, table, 'stsz')) ?? (await find(file, table, 'stz2'));
  if (!decoded || !sizes) return null;
  const count = (await file.bytes(sizes.content + 8, 4)).readUInt32BE();
  if (count === 0) return null;
  const ticks = new Float64Array(Math.min(count, mostSamples));
  let filled = 0;
  let clock = 0;
  for await (const { samples, value: delta } of runsOf(file, decoded)) {
    for (let left = Math.min(samples, ticks.length - filled); left > 0; left -= 1) {
      ticks[filled] = clock;
      filled += 1;
      clock += delta;
    }
    if (filled === ticks.length) break;
  }
  if (filled < ticks.length) throw new Error('Its samples have no times');
  const last = clock - (ticks[filled - 1] ?? 0);
  filled = 0;
  if (shown) {
    for await (const { samples, value: offset } of runsOf(file, shown)) {
      for (let left = Math.min(samples, ticks.length - filled); left > 0; left -= 1) {
        ticks[filled] = (ticks[filled] ?? 0) + offset;
        filled += 1;
      }
      if (filled === ticks.length) break;
    }
  }
  const end = ticks.reduce((most, tick) => Math.max(most, tick), Number.NEGATIVE_INFINITY) + last;
  return { ticks, count, end };
}

/** Rows of a table that says something of so many samples each. */
async function* runsOf(
  file: Scanner,
  { content, end }: IsoBox,
): AsyncGenerator<{ samples: number; value: number }> {
  const count = (await file.bytes(content + 4, 4)).readUInt32BE();
  const rowsEnd = Math.min(end, content + 8 + count * 8);
  for (let at = content + 8; at + 8 <= rowsEnd; at += rowsAtOnce * 8) {
    const rows = await file.bytes(at, Math.min(rowsAtOnce * 8, rowsEnd - at) & ~7);
    for (let row = 0; row < rows.length; row += 8) {
      // Offsets are signed in fact, whatever the table's version says.
      yield { samples: rows.readUInt32BE(row), value: rows.readInt32BE(row + 4) };
    }
  }
}

/** Enough of a description; what follows in it is of the codec. */
const mostDescriptionBytes = 4_096;

/** ISO 23091-3. */
const isoLayouts: Readonly<Record<number, string>> = { 1: 'mono', 2: 'stereo', 6: '5.1' };

/** Boxes of a description are found by their names, whatever precedes them in its kind of entry. */
async function readDescription(
  file: Scanner,
  { content, end }: IsoBox,
): Promise<Pick<IsoTrack, 'isInterlaced' | 'layout'>> {
  const bytes = await file.bytes(content, Math.min(end - content, mostDescriptionBytes));
  /** From the content of the box to the end of the description, which is so long at least. */
  const after = (type: string, least: number) => {
    const at = bytes.indexOf(type, 0, 'latin1') + 4;
    return at < 4 || at + least > bytes.length ? null : bytes.subarray(at);
  };
  const fields = after('fiel', 1);
  const quickTime = after('chan', leastLayoutBytes);
  const channels = after('chnl', 6);
  let layout: IsoTrack['layout'];
  if (channels) layout = isoLayouts[channels.readUInt8(5)] ?? null;
  if (quickTime) layout = quickTimeLayout(quickTime);
  return { isInterlaced: fields ? fields.readUInt8(0) === 2 : undefined, layout };
}

/** The first box of such a path. */
async function find(
  file: Scanner,
  { content, end }: Pick<IsoBox, 'content' | 'end'>,
  type: string,
  ...inner: string[]
): Promise<IsoBox | null> {
  for await (const box of boxesIn(file, content, end)) {
    if (box.type !== type) continue;
    const [next, ...rest] = inner;
    return next === undefined ? box : await find(file, box, next, ...rest);
  }
  return null;
}
