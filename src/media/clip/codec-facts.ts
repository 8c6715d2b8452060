import type { Size } from '../../core/picture-size.ts';
import { findSps, readSps } from './h264-sps.ts';

/** What the configuration of a video codec says; `undefined` where it does not tell. */
export interface PictureFacts {
  readonly bitDepth: number | undefined;
  readonly isInterlaced: boolean | undefined;
  /** Of a stored frame, where only the stream tells: mediabunny 1.61 halves that of fields. */
  readonly size?: Size;
}

interface VideoConfig {
  readonly codec: string;
  /** Such as `vp09.02.10.10`. */
  readonly parameters: string;
  /** `avcC`, `hvcC`; `null` where the stream holds its own. */
  readonly description: Uint8Array | null;
  /** Of a stream that holds its own. */
  readonly firstPacket: Uint8Array | undefined;
}

export function pictureFacts(config: VideoConfig | null): PictureFacts {
  return (config && readers[config.codec]?.(config)) ?? unknown;
}

const unknown: PictureFacts = { bitDepth: undefined, isInterlaced: undefined };

const readers: Readonly<Record<string, (config: VideoConfig) => PictureFacts>> = {
  avc({ description, firstPacket }) {
    const unit = findSps(description, firstPacket);
    const set = unit && readSps(unit);
    if (!set) return unknown;
    const facts = { bitDepth: set.bitDepth, isInterlaced: !set.isProgressive };
    return description ? facts : { ...facts, size: set.size };
  },
  hevc({ description, parameters }) {
    if (description && description.length >= 23) return hevcFacts(description);
    const profile = parameters.split('.')[1];
    return { ...unknown, bitDepth: profile === '1' ? 8 : profile === '2' ? 10 : undefined };
  },
  vp8: () => ({ bitDepth: 8, isInterlaced: false }),
  vp9: ({ parameters }) => ({ bitDepth: depthAt(parameters, 3), isInterlaced: false }),
  av1: ({ parameters }) => ({ bitDepth: depthAt(parameters, 3), isInterlaced: false }),
  prores: ({ parameters }) => ({ ...unknown, bitDepth: parameters.startsWith('ap4') ? 12 : 10 }),
};

/** `HEVCDecoderConfigurationRecord`, ISO 14496-15 §8.3.3.1. */
function hevcFacts(hvcC: Uint8Array): PictureFacts {
  const constraints = hvcC[6] ?? 0;
  const [isProgressive, isInterlaced] = [(constraints & 0x80) !== 0, (constraints & 0x40) !== 0];
  return {
    bitDepth: ((hvcC[17] ?? 0) & 7) + 8,
    // Both: each picture says it for itself.
    isInterlaced: isProgressive === isInterlaced ? undefined : isInterlaced,
  };
}

function depthAt(parameters: string, part: number): number | undefined {
  const depth = Number(parameters.split('.')[part]);
  return Number.isInteger(depth) && depth > 0 ? depth : undefined;
}

interface SoundConfig {
  readonly codec: string | null;
  readonly channels: number;
  readonly description: Uint8Array | null;
}

/** Names as FFmpeg has them, in the order of AAC's configurations (ISO 14496-3 §1.6.3.5). */
const aacLayouts = [null, 'mono', 'stereo', '3.0', '4.0', '5.0', '5.1', '7.1(wide)'];
/** In the order of Vorbis, which Opus and FLAC share (RFC 7845 §5.1.1.2, RFC 9639 §9.1.3). */
const xiphLayouts = [null, 'mono', 'stereo', '3.0', 'quad', '5.0', '5.1', '6.1', '7.1'];
const usualLayouts = [null, 'mono', 'stereo'];

/** Which channels a sound track has; `null` for unusual ones, and where the codec does not tell. */
export function soundLayout({ codec, channels, description }: SoundConfig): string | null {
  if (codec === 'aac') {
    const configured = description && aacConfiguration(description);
    return aacLayouts[configured ?? (channels <= 2 ? channels : 0)] ?? null;
  }
  if (codec === 'opus') {
    // The family of the mapping: 0 and 1 have named channels.
    const family = description?.[18] ?? 0;
    return family <= 1 ? (xiphLayouts[channels] ?? null) : null;
  }
  if (codec === 'flac' || codec === 'vorbis') return xiphLayouts[channels] ?? null;
  if (codec === 'ac3' || codec === 'eac3')
    return channels === 6 ? '5.1' : (usualLayouts[channels] ?? null);
  return usualLayouts[channels] ?? null;
}

/** The channel configuration in an `AudioSpecificConfig`; 0: it lists its channels one by one. */
function aacConfiguration(config: Uint8Array): number | null {
  const [first = 0, second = 0] = config;
  const hasLongForm = first >> 3 === 31 || (((first & 7) << 1) | (second >> 7)) === 15;
  return config.length < 2 || hasLongForm ? null : (second >> 3) & 15;
}
