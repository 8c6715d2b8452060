import type { InputAudioTrack } from 'mediabunny';
import type { AudioInfo } from '../../core/media.ts';

/** @throws Error where all of a file is here, and it lasts less long than it says. */
export async function readSound(
  sound: InputAudioTrack,
  isWhole: boolean,
): Promise<Omit<AudioInfo, 'kind' | 'format'>> {
  const told = await sound.getDurationFromMetadata();
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

/**
 * Where a WAV says that it ends, in bytes from its beginning; `null` for another file, and for one that was
 * streamed and does not know. Parsers read what there is of it.
 */
export function waveEnd(head: Uint8Array): number | null {
  if (head.length < 12) return null;
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.byteLength);
  const isWave =
    bytes.toString('latin1', 0, 4) === 'RIFF' && bytes.toString('latin1', 8, 12) === 'WAVE';
  const size = bytes.readUInt32LE(4);
  return isWave && size < streamedBytes ? size + 8 : null;
}

/** Whoever does not know the length writes the greatest, or one near it. */
const streamedBytes = 0xffff_0000;
