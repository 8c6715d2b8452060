import { parentPort } from 'node:worker_threads';
import type { EncodedPacket, InputAudioTrack, InputTrack, InputVideoTrack } from 'mediabunny';
import type { AudioInfo, AudioTrackInfo, VideoInfo } from '../core/media.ts';
import { type ContainerBoxes, readBoxes } from './clip/boxes.ts';
import { describeSound, describeVideo } from './clip/describe.ts';
import { mediabunny } from './clip/mediabunny.ts';
import { readSound, waveEnd } from './clip/sound.ts';
import { trackTiming } from './clip/timing.ts';
import { segmentEnd } from './matroska.ts';
import { Scanner } from './metadata/edit.ts';

const { CustomSource, EncodedPacketSink, Input } = mediabunny;
const { FLAC, MATROSKA, MP3, MP4, MPEG_TS, OGG, QTFF, WAVE, WEBM } = mediabunny;

/** HLS is left out: its playlists name further URLs. */
const formats = {
  video: [MP4, QTFF, WEBM, MATROSKA, MPEG_TS],
  audio: [MP3, WAVE, FLAC, OGG, MP4, QTFF],
};

/** Runs in a thread with limits: what it reads is hostile until it is read. */

export interface VideoJob {
  /** Bytes of the file. */
  readonly size: number;
  /** Whether the file is ours, and must be whole. */
  readonly isWhole: boolean;
  /** What is looked for in it. */
  readonly kind: 'video' | 'audio';
}

/** Jobs come one after the other. */
export type ToVideoThread =
  | { readonly kind: 'probe'; readonly number: number; readonly job: VideoJob }
  | { readonly kind: 'bytes'; readonly id: number; readonly bytes: Uint8Array };

export type VideoAnswer =
  | { readonly kind: 'info'; readonly info: TrackInfo }
  | { readonly kind: 'sound'; readonly info: Omit<AudioInfo, 'kind' | 'format'> }
  | { readonly kind: 'nothing' }
  | { readonly kind: 'failed'; readonly reason: string };

export type FromVideoThread = { readonly job: number } & (
  | { readonly kind: 'read'; readonly id: number; readonly start: number; readonly end: number }
  | VideoAnswer
);

export type TrackInfo = Omit<VideoInfo, 'kind' | 'format'>;

const port = parentPort;
const waiting = new Map<number, (bytes: Uint8Array) => void>();
let asked = 0;

/** A container and its tracks may round differently; they may not tell different stories. */
const maxDurationRatio = 1.5;
const maxDurationGapSeconds = 2;

/** So many packets are counted. Of a remote file fewer: each cluster of a WebM is a request. */
const countedPackets = { whole: 1_000, remote: 100 };
/** Where packets lie among all other bytes, those are read with them. */
const countedBytes = 64 * 1024 * 1024;
/** Enough for what lies together, and little to have read in vain. */
const windowBytes = 64 * 1024;

function post(message: FromVideoThread): void {
  port?.postMessage(message);
}

port?.on('message', async (message: ToVideoThread) => {
  if (message.kind === 'bytes') {
    waiting.get(message.id)?.(message.bytes);
    waiting.delete(message.id);
    return;
  }
  const { job, number } = message;
  // What the job before has read ahead is of no use any more.
  waiting.clear();
  const answer = await probe(job, (start, end) => read(number, start, end)).catch(
    (error): VideoAnswer => ({ kind: 'failed', reason: String(error?.message ?? error) }),
  );
  post({ job: number, ...answer });
});

type Read = (start: number, end: number) => Promise<Uint8Array>;

function read(job: number, start: number, end: number): Promise<Uint8Array> {
  asked += 1;
  const id = asked;
  const { promise, resolve } = Promise.withResolvers<Uint8Array>();
  waiting.set(id, resolve);
  post({ kind: 'read', job, id, start, end });
  return promise;
}

async function probe({ size, isWhole, kind }: VideoJob, read: Read): Promise<VideoAnswer> {
  const head = isWhole ? await read(0, Math.min(size, 1_024)) : new Uint8Array(0);
  if ((segmentEnd(head) ?? waveEnd(head) ?? 0) > size) {
    throw new Error('Its header says that the file is longer');
  }
  using input = new Input({
    formats: formats[kind],
    source: new CustomSource({
      read,
      getSize: () => size,
      prefetchProfile: isWhole ? 'fileSystem' : 'network',
    }),
  });
  const tracks = await input.getTracks();
  if (kind === 'audio') {
    const sound = tracks.find((track) => track.isAudioTrack());
    if (tracks.length === 0) throw new Error('It has no tracks');
    if (!sound) return { kind: 'nothing' };
    if (isWhole) await readLastPacket(sound);
    return { kind: 'sound', info: await readSound(sound, isWhole) };
  }
  // ComfyUI takes the first one, too, whichever a player would choose.
  const video = tracks.find((track) => track.isVideoTrack());
  // An MP4 or WebM without any track is the beginning of one that has them further behind.
  const isStream = (await input.getFormat()) === MPEG_TS;
  if (tracks.length === 0 && !isStream) throw new Error('It has no tracks');
  if (!video) return { kind: 'nothing' };
  const sounds = tracks.filter((track) => track.isAudioTrack());
  const boxes = await readBoxes(new Scanner(size, read, windowBytes));
  for (const track of [video, ...sounds]) if (isWhole) await readLastPacket(track);
  await checkDurations([video, ...sounds], boxes);
  const packets = isWhole ? countedPackets.whole : countedPackets.remote;
  return { kind: 'info', info: await describe(video, sounds, boxes, packets) };
}

async function describe(
  video: InputVideoTrack,
  sounds: readonly InputAudioTrack[],
  boxes: ContainerBoxes,
  packets: number,
): Promise<TrackInfo> {
  const timing = await trackTiming(video, boxes, { packets, bytes: countedBytes });
  const audioTracks: AudioTrackInfo[] = [];
  for (const sound of sounds) audioTracks.push(await describeSound(sound, timing.startsAt, boxes));
  return {
    ...(await describeVideo(video, timing, boxes)),
    hasAudio: sounds.length > 0,
    audioTracks,
  };
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

/** Matroska tells the length of its longest track, so all are asked. */
async function checkDurations(
  tracks: readonly InputTrack[],
  { iso }: ContainerBoxes,
): Promise<void> {
  let claimed = 0;
  let computed = 0;
  for (const track of tracks) {
    computed = Math.max(computed, await track.computeDuration());
    if (iso.get(track.id)?.isDurationUnknown) continue;
    claimed = Math.max(claimed, (await track.getDurationFromMetadata()) ?? 0);
  }
  if (claimed > 0 && tellsAnotherStory(claimed, computed)) {
    throw new Error(`It lasts ${claimed} s or ${computed} s`);
  }
}

function tellsAnotherStory(claimed: number, computed: number): boolean {
  const [less, more] = [Math.min(claimed, computed), Math.max(claimed, computed)];
  return more - less > maxDurationGapSeconds && more > less * maxDurationRatio;
}
