import type { InputAudioTrack, InputVideoTrack } from 'mediabunny';
import type { AudioTrackInfo, VideoInfo } from '../../core/media.ts';
import { turned } from '../../core/picture-size.ts';
import type { ContainerBoxes } from './boxes.ts';
import { type PictureFacts, pictureFacts, soundLayout } from './codec-facts.ts';
import { isHdr, videoColor } from './color.ts';
import { frameFacts } from './frame-times.ts';
import { mediabunny } from './mediabunny.ts';
import type { Timing } from './timing.ts';

type PictureInfo = Omit<VideoInfo, 'kind' | 'format' | 'hasAudio' | 'audioTracks'>;

export async function describeVideo(
  video: InputVideoTrack,
  timing: Timing,
  { iso, matroska }: ContainerBoxes,
): Promise<PictureInfo> {
  const { durationSeconds, frames, fps, isVariableRate } = frameFacts(timing);
  const color = videoColor(await video.getColorSpace());
  const { bitDepth, isInterlaced, size } = await codecFacts(video);
  const coded = { width: await video.getCodedWidth(), height: await video.getCodedHeight() };
  const stored = size ?? coded;
  const rotation = await video.getRotation();
  const square = {
    width: Math.round(((await video.getSquarePixelWidth()) / coded.width) * stored.width),
    height: Math.round(((await video.getSquarePixelHeight()) / coded.height) * stored.height),
  };
  const said = iso.get(video.id) ?? matroska.get(video.id);
  return {
    ...turned(square, rotation),
    stored,
    rotation,
    durationSeconds: round(durationSeconds),
    fps: fps && round(fps),
    frames,
    isVariableRate,
    isInterlaced: said?.isInterlaced ?? isInterlaced,
    codec: await video.getCodec(),
    bitDepth,
    isHdr: isHdr(color),
    color,
  };
}

async function codecFacts(video: InputVideoTrack): Promise<PictureFacts> {
  const codec = await video.getCodec();
  const config = codec && (await video.getDecoderConfig());
  if (!config) return pictureFacts(null);
  const description = bytesOf(config.description);
  const isInStream = codec === 'avc' && description === null;
  const sink = new mediabunny.EncodedPacketSink(video);
  const packet = isInStream ? await sink.getFirstPacket() : null;
  return pictureFacts({ codec, parameters: config.codec, description, firstPacket: packet?.data });
}

/** @param startsAt Seconds from the beginning of the clip to its first frame. */
export async function describeSound(
  sound: InputAudioTrack,
  startsAt: number,
  { iso }: ContainerBoxes,
): Promise<AudioTrackInfo> {
  const codec = await sound.getCodec();
  const channels = await sound.getNumberOfChannels();
  const config = codec && (await sound.getDecoderConfig());
  const description = bytesOf(config?.description);
  const box = iso.get(sound.id);
  // What an encoder needed to begin lies before the edit, and is not heard.
  const heardFrom = box?.edits[0]?.at ?? Number.NEGATIVE_INFINITY;
  const beginsAt = Math.max(heardFrom, await sound.getFirstTimestamp());
  const internal = await sound.getInternalCodecId();
  const said = box?.layout;
  return {
    channels,
    sampleRate: await sound.getSampleRate(),
    codec: codec ?? (typeof internal === 'string' ? internal : null),
    offsetSeconds: round(beginsAt - startsAt),
    layout: said === undefined ? soundLayout({ codec, channels, description }) : said,
  };
}

function bytesOf(source: ArrayBufferLike | ArrayBufferView | undefined): Uint8Array | null {
  if (source === undefined) return null;
  if (ArrayBuffer.isView(source)) {
    return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  }
  return new Uint8Array(source);
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
