import { createRequire } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';
import type { EncodedPacket, InputTrack, Input as MediaInput } from 'mediabunny';
import type { VideoInfo } from '../core/media.ts';
import { segmentEnd } from './matroska.ts';

// Each clip has a thread of its own, which loads everything anew: one file takes 95 ms of a processor, 150
// modules take 140.
const mediabunny: typeof import('mediabunny') = createRequire(import.meta.url)('mediabunny');
const { CustomSource, EncodedPacketSink, Input, MATROSKA, MP4, QTFF, WEBM } = mediabunny;

/** Runs in a thread with limits: what it reads is hostile until it is read. */

export interface ToVideoThread {
  /** Bytes of the file. */
  readonly size: number;
  /** Whether the file is ours, and must be whole. */
  readonly isWhole: boolean;
}

export type FromVideoThread =
  | { readonly kind: 'read'; readonly id: number; readonly start: number; readonly end: number }
  | { readonly kind: 'info'; readonly info: Omit<VideoInfo, 'kind' | 'format'> }
  | { readonly kind: 'no-video' }
  | { readonly kind: 'failed'; readonly reason: string };

const { size, isWhole } = workerData as ToVideoThread;
const port = parentPort;
const waiting = new Map<number, (bytes: Uint8Array) => void>();
let asked = 0;

/** A container and its track may round differently; they may not tell different stories. */
const maxDurationRatio = 1.5;
const maxDurationGapSeconds = 2;

/** So many packets are counted. Of a remote file fewer: each cluster of a WebM is a request. */
const countedPackets = isWhole ? 1_000 : 100;
/** Matroska tells times in whole milliseconds, which makes 29.967 of 29.97. */
const commonRates = [24_000 / 1001, 24, 25, 30_000 / 1001, 30, 48, 50, 60_000 / 1001, 60, 120];
const maxRateError = 0.0005;

function post(message: FromVideoThread): void {
  port?.postMessage(message);
}

port?.on('message', ({ id, bytes }: { id: number; bytes: Uint8Array }) => {
  waiting.get(id)?.(bytes);
  waiting.delete(id);
});

function read(start: number, end: number): Promise<Uint8Array> {
  asked += 1;
  const id = asked;
  const { promise, resolve } = Promise.withResolvers<Uint8Array>();
  waiting.set(id, resolve);
  post({ kind: 'read', id, start, end });
  return promise;
}

async function probe(): Promise<void> {
  if (isWhole && (segmentEnd(await read(0, Math.min(size, 1_024))) ?? 0) > size) {
    throw new Error('Its segment is longer than the file');
  }
  // HLS is left out: its playlists name further URLs.
  const input = new Input({
    formats: [MP4, QTFF, WEBM, MATROSKA],
    source: new CustomSource({
      read,
      getSize: () => size,
      prefetchProfile: isWhole ? 'fileSystem' : 'network',
    }),
  });
  const video = await input.getPrimaryVideoTrack();
  if (!video) return post(await whyNoVideo(input));
  const audio = await input.getPrimaryAudioTrack();
  if (isWhole) {
    await readLastPacket(video);
    if (audio) await readLastPacket(audio);
  }
  const { packetCount, averagePacketRate } = await video.computePacketStats(countedPackets);
  const durationSeconds = await video.computeDuration();
  const claimed = await input.getDurationFromMetadata();
  if (claimed !== null && tellsAnotherStory(claimed, durationSeconds)) {
    throw new Error(`It lasts ${claimed} s or ${durationSeconds} s`);
  }
  const rate = averagePacketRate > 0 ? nearestRate(averagePacketRate) : null;
  const shownSeconds = durationSeconds - (await video.getFirstTimestamp());
  post({
    kind: 'info',
    info: {
      width: await video.getDisplayWidth(),
      height: await video.getDisplayHeight(),
      durationSeconds: round(durationSeconds),
      fps: rate === null ? null : round(rate),
      frames: packetCount < countedPackets ? packetCount : rate && Math.round(shownSeconds * rate),
      codec: await video.getCodec(),
      hasAudio: audio !== null,
    },
  });
}

/** A file without any track is the beginning of one that has them further behind. */
async function whyNoVideo(input: MediaInput): Promise<FromVideoThread> {
  const tracks = await input.getTracks();
  return tracks.length > 0 ? { kind: 'no-video' } : { kind: 'failed', reason: 'It has no tracks' };
}

/**
 * The tables of a file that was cut off speak of packets that are not there. The packet that is shown
 * last is not the one that is stored last where frames are predicted from later ones (B-frames), so
 * the tables are followed to their end first: read with its data, a packet beyond the file's end
 * looks as if there were none.
 */
async function readLastPacket(track: InputTrack): Promise<void> {
  const sink = new EncodedPacketSink(track);
  let last: EncodedPacket | null = null;
  let next = await sink.getPacket(Number.POSITIVE_INFINITY, { metadataOnly: true });
  while (next) {
    last = next;
    next = await sink.getNextPacket(last, { metadataOnly: true });
  }
  if (!last) throw new Error('It has no packets');
  const packet = await sink.getPacket(last.timestamp);
  if (!packet?.data.byteLength) throw new Error('Its last packet is missing');
}

function tellsAnotherStory(claimed: number, computed: number): boolean {
  const [less, more] = [Math.min(claimed, computed), Math.max(claimed, computed)];
  return more - less > maxDurationGapSeconds && more > less * maxDurationRatio;
}

function nearestRate(packetsPerSecond: number): number {
  const errorOf = (rate: number) => Math.abs(packetsPerSecond / rate - 1);
  const nearest = commonRates.reduce((a, b) => (errorOf(a) < errorOf(b) ? a : b));
  return errorOf(nearest) <= maxRateError ? nearest : packetsPerSecond;
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

probe().catch((error) => post({ kind: 'failed', reason: String(error?.message ?? error) }));
