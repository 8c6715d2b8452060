import type { ColourTag } from '../../core/made-clip.ts';
import { type Edit, nothing, type Scanner } from './edit.ts';
import { boxesIn, type IsoBox, tableBytes, videoEntries, videoEntryBytes } from './iso-boxes.ts';
import { trueTag, type Wish } from './wish.ts';

/** Boxes that hold nothing but what is said of a film or a track (ISO 14496-12, QuickTime). */
const said = new Set(['udta', 'meta']);
/** Boxes that hold nothing. */
const empty = new Set(['free', 'skip']);
/** Boxes in which those lie, or the table of sample entries. */
const holders = new Set(['moov', 'trak', 'mdia', 'minf', 'stbl']);
/** What Adobe's XMP lies in. */
const xmpBox = 'be7acfcb97a942e89c71999491e3afac';
/** A recording in fragments has thousands of boxes, and the first few say all there is to say. */
const mostBoxes = 1_000;
/** FFmpeg names itself last of all. */
const endBytes = 256;

/** A box with those that it lies in, the outermost first. */
interface Place {
  readonly box: IsoBox;
  readonly within: readonly IsoBox[];
}

interface Survey {
  readonly said: Place[];
  readonly empty: Place[];
  /** Of the first video track. */
  entry: Place | null;
  movie: IsoBox | null;
  /** The last one of all. */
  last: IsoBox | null;
}

/**
 * Makes free space of boxes with metadata, and of a part of it the box that tells the colours. What lies outside
 * of the film's tables stays where it is, so that what those say of the samples stays right.
 */
export async function isoMediaEdits(file: Scanner, wish: Wish): Promise<Edit[]> {
  const survey = await surveyOf(file);
  const saidNoMore = wish.keepsMetadata ? [] : survey.said;
  const rooms = [...saidNoMore, ...survey.empty];
  const [insertion, room] =
    (wish.colour && (await colourIn(file, survey, rooms, wish.colour))) ?? [];
  const edits = saidNoMore
    .filter(({ box }) => box !== room?.taken?.box)
    .flatMap(({ box }) => freed(box));
  if (insertion && room)
    edits.push(insertion.edit, ...(await resizedAround(file, insertion, room.taken)));
  return edits.sort((a, b) => a.start - b.start || a.end - b.end);
}

async function surveyOf(file: Scanner): Promise<Survey> {
  const survey: Survey = { said: [], empty: [], entry: null, movie: null, last: null };
  let boxes = 0;
  const walk = async (start: number, end: number, within: readonly IsoBox[]): Promise<void> => {
    for await (const box of boxesIn(file, start, end)) {
      boxes += 1;
      if (boxes > mostBoxes) return;
      const place = { box, within };
      if (within.length === 0) survey.last = box;
      if (box.type === 'moov' && within.length === 0) survey.movie ??= box;
      if (said.has(box.type) || (await isXmp(file, box))) survey.said.push(place);
      else if (empty.has(box.type)) survey.empty.push(place);
      else if (videoEntries.has(box.type)) survey.entry ??= place;
      else if (holders.has(box.type)) await walk(box.content, box.end, [...within, box]);
      else if (box.type === 'stsd' && within.length > 0) {
        await walk(box.content + tableBytes, box.end, [...within, box]);
      }
    }
  };
  await walk(0, file.size, []);
  return survey;
}

async function isXmp(file: Scanner, { type, content, end }: IsoBox): Promise<boolean> {
  if (type !== 'uuid' || end < content + 16) return false;
  return (await file.bytes(content, 16)).toString('hex') === xmpBox;
}

function freed({ start, content, end }: IsoBox): Edit[] {
  return [
    { start: start + 4, end: start + 8, bytes: Buffer.from('free', 'latin1') },
    { start: content, end, bytes: 'zeros' },
  ];
}

/** A box that is put into a sample entry. */
interface Insertion {
  readonly edit: Edit;
  /** By which the entry becomes longer. */
  readonly bytes: number;
  readonly entry: Place;
}

/** From where the bytes come: `null` from nowhere, where the film's tables end the file and may grow. */
interface Room {
  readonly taken: Place | null;
}

/**
 * The box that tells the colours, and the room that is made for it; `null` where there is no place for it, or
 * where one stands there. Without room, it takes the place of one that tells the bit rates.
 */
async function colourIn(
  file: Scanner,
  survey: Survey,
  rooms: readonly Place[],
  colour: NonNullable<Wish['colour']>,
): Promise<readonly [Insertion, Room] | null> {
  const { entry } = survey;
  if (!entry) return null;
  // What lies behind the last box, such as zeros of QuickTime, stays behind it.
  let at = entry.box.content + videoEntryBytes;
  let rates: IsoBox | null = null;
  for await (const box of boxesIn(file, at, entry.box.end)) {
    if (box.type === 'colr') return null;
    if (box.type === 'btrt') rates = box;
    at = box.end;
  }
  const bytes = nclx(trueTag(colour, await writerOf(file, survey)));
  for (const { start, end } of [{ start: at, end: at }, ...(rates ? [rates] : [])]) {
    const longer = bytes.length - (end - start);
    const room = roomFor(longer, survey, rooms);
    if (room) return [{ edit: { start, end, bytes }, bytes: longer, entry }, room];
  }
  return null;
}

/** Where FFmpeg names itself. */
async function writerOf(file: Scanner, { said }: Survey): Promise<string> {
  const about = said.findLast(({ box }) => box.type === 'udta')?.box;
  if (!about) return '';
  const from = Math.max(about.content, about.end - endBytes);
  return (await file.bytes(from, about.end - from)).toString('latin1');
}

/** ISO 14496-12 §12.1.5: the colours on screen, as ITU-T H.273 numbers them. */
function nclx({ primaries, transfer, matrix }: ColourTag): Buffer {
  const box = Buffer.alloc(19);
  box.writeUInt32BE(box.length, 0);
  box.write('colrnclx', 4, 'latin1');
  box.writeUInt16BE(primaries, 12);
  box.writeUInt16BE(transfer, 14);
  box.writeUInt16BE(matrix, 16);
  return box;
}

/** An empty box within the film's tables or right behind them becomes smaller, or the tables longer. */
function roomFor(bytes: number, { movie, last }: Survey, rooms: readonly Place[]): Room | null {
  if (!movie) return null;
  const taken = rooms.find(({ box, within }) => {
    const isNear = within[0] === movie || box.start === movie.end;
    const left = box.end - box.start - bytes;
    return isNear && box.content - box.start === headBytes && (left === 0 || left >= headBytes);
  });
  if (taken) return { taken };
  return last === movie ? { taken: null } : null;
}

/** Of a box whose size has 32 bits. */
const headBytes = 8;

/** The sizes of all boxes around an insertion, with the empty box that becomes so much smaller. */
async function resizedAround(
  file: Scanner,
  { bytes, entry }: Insertion,
  taken: Place | null,
): Promise<Edit[]> {
  const larger = [...entry.within, entry.box];
  const smaller = taken?.within ?? [];
  const sizes = [
    ...larger.filter((box) => !smaller.includes(box)).map((box) => resized(file, box, bytes)),
    ...smaller.filter((box) => !larger.includes(box)).map((box) => resized(file, box, -bytes)),
  ];
  const edits = (await Promise.all(sizes)).flat();
  return taken ? [...edits, ...shrunk(taken.box, bytes)] : edits;
}

async function resized(file: Scanner, box: IsoBox, by: number): Promise<Edit[]> {
  const { start, content, end } = box;
  const size = end - start + by;
  if (content - start > headBytes) {
    const long = Buffer.alloc(8);
    long.writeBigUInt64BE(BigInt(size));
    return [{ start: start + 8, end: start + 16, bytes: long }];
  }
  // One that goes on to the end of the file does so still.
  if ((await file.bytes(start, 4)).readUInt32BE(0) === 0) return [];
  return [{ start, end: start + 4, bytes: word(size) }];
}

/** What is left of an empty box; for less than nothing it becomes larger. */
function shrunk({ start, content, end }: IsoBox, by: number): Edit[] {
  if (end - start === by) return [{ start, end, bytes: nothing }];
  const head = Buffer.concat([word(end - start - by), Buffer.from('free', 'latin1')]);
  const zerosEnd = end - Math.max(by, 0);
  return [
    { start, end: content, bytes: head },
    { start: content, end: zerosEnd, bytes: 'zeros' },
    { start: zerosEnd, end, bytes: Buffer.alloc(Math.max(-by, 0)) },
  ];
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
