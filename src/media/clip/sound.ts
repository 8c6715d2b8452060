import type { InputAudioTrack } from 'mediabunny';
import type { AudioInfo } from '../../core/media.ts';
import { mediabunny } from './mediabunny.ts';

/** What the track says, and where all of a file is here, whether its last packet is. */
export async function readSound(
  sound: InputAudioTrack,
  isWhole: boolean,
): Promise<Omit<AudioInfo, 'kind' | 'format'>> {
  const told = await sound.getDurationFromMetadata();
  const sink = new mediabunny.EncodedPacketSink(sound);
  const first = await sink.getFirstPacket();
  if (!first) throw new Error('It has no packets');
  // Without a table, the way to the end leads through all of the file.
  const counts = isWhole || told === null;
  const lasts = counts ? await sound.computeDuration() : told;
  if (isWhole && told !== null && isCut(told, lasts)) {
    throw new Error(`It lasts ${told} s or ${lasts} s`);
  }
  const codec = await sound.getCodec();
  const internal = await sound.getInternalCodecId();
  return {
    durationSeconds: Math.round(lasts * 1000) / 1000,
    codec: codec ?? (typeof internal === 'string' ? internal : null),
    channels: await sound.getNumberOfChannels(),
    sampleRate: await sound.getSampleRate(),
  };
}

/** A packet may be rounded; a file that lacks some is damaged. */
const missingSeconds = 0.5;

function isCut(told: number, lasts: number): boolean {
  return told - lasts > Math.max(missingSeconds, told / 50);
}
