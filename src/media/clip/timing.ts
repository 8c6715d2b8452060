import type { InputVideoTrack } from 'mediabunny';
import type { ContainerBoxes } from './boxes.ts';
import { type FrameTimes, framesIn, type Span } from './frame-times.ts';
import type { IsoEdit, IsoTrack, SampleTicks } from './iso-tracks.ts';
import { mediabunny } from './mediabunny.ts';

export interface Timing extends FrameTimes {
  /** Seconds from the beginning of the clip to its first frame. */
  readonly startsAt: number;
}

/** How much of a track is looked at that has its times among all other bytes. */
export interface Counted {
  readonly packets: number;
  readonly bytes: number;
}

export async function trackTiming(
  video: InputVideoTrack,
  { iso, matroska }: ContainerBoxes,
  counted: Counted,
): Promise<Timing> {
  const box = iso.get(video.id);
  if (box?.sampleTicks) return tableTiming(box, box.sampleTicks);
  const frameNs = matroska.get(video.id)?.frameNs;
  const statedRate = frameNs ? 1e9 / frameNs : null;
  return { ...(await packetTiming(video, box, counted)), statedRate };
}

/** By the tables of an MP4: mediabunny takes minutes to follow those of an hour. */
function tableTiming({ timescale, edits }: IsoTrack, samples: SampleTicks): Timing {
  const times = samples.ticks.map((tick) => tick / timescale);
  const end = samples.end / timescale;
  const start = times.reduce((least, time) => Math.min(least, time), end);
  const error = 0.5 / timescale;
  const spanOf = ({ from, length }: IsoEdit): Span => ({
    start: Math.max(start, from / timescale),
    end: Math.min(end, (from + length) / timescale),
  });
  const isThere = (span: Span) => framesIn(times, [span], error) > 0;
  const isAll = samples.count === times.length;
  const kept = edits.filter((edit) => isThere(spanOf(edit)));
  const [first] = kept;
  const timing = { times, isAll, error, statedRate: null };
  // Edits that show nothing are none.
  if (!first) return { ...timing, shown: [{ start, end }], startsAt: start };
  const span = spanOf(first);
  const startsAt = first.at - first.from / timescale + firstIn(times, span, error);
  return { ...timing, shown: kept.map(spanOf), startsAt };
}

/** By the packets, whose times mediabunny tells as they are shown by the first edit. */
async function packetTiming(
  video: InputVideoTrack,
  box: IsoTrack | undefined,
  counted: Counted,
): Promise<Omit<Timing, 'statedRate'>> {
  const { times, isAll } = await packetTimes(video, counted);
  const last = await video.computeDuration();
  const error = 0.5 / (await video.getTimeResolution());
  const first = times.reduce((least, time) => Math.min(least, time), last);
  const [edit] = box?.edits ?? [];
  const start = Math.max(first, edit?.at ?? first);
  const length = edit && box ? edit.length / box.timescale : Number.POSITIVE_INFINITY;
  const span = { start, end: Math.min(last, start + length) };
  return { times, isAll, error, shown: [span], startsAt: firstIn(times, span, error) };
}

async function packetTimes(
  video: InputVideoTrack,
  counted: Counted,
): Promise<Pick<Timing, 'times' | 'isAll'>> {
  const sink = new mediabunny.EncodedPacketSink(video);
  const times: number[] = [];
  let bytes = 0;
  let latest = Number.NEGATIVE_INFINITY;
  for await (const { timestamp, byteLength } of sink.packets(undefined, undefined, {
    metadataOnly: true,
  })) {
    const isEnough = times.length >= counted.packets || bytes >= counted.bytes;
    // One that is shown before the latest fills a gap.
    if (isEnough && timestamp > latest) return { times: Float64Array.from(times), isAll: false };
    times.push(timestamp);
    bytes += byteLength;
    latest = Math.max(latest, timestamp);
  }
  return { times: Float64Array.from(times), isAll: true };
}

/** When the first of the frames that lie in it is shown. */
function firstIn(times: Float64Array, { start, end }: Span, error: number): number {
  const first = times.reduce(
    (least, time) => (time > start - error ? Math.min(least, time) : least),
    Number.POSITIVE_INFINITY,
  );
  return first < end ? first : start;
}
