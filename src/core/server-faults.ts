import { isUndecodable, soundTracks } from './clip-sound.ts';
import type { ClipUse } from './clip-use.ts';
import type { MediaInfo, VideoInfo } from './media.ts';
import type { WarningCode } from './warning.ts';

/** What ComfyUI makes wrong of a clip, up to some version. */
export interface ServerFault {
  readonly code: FaultCode;
  /** The first version that makes it right. */
  readonly until: string;
  /** Verb and object, for sentences: “ComfyUI 0.3.64 …”. */
  readonly what: string;
  /** What a client hears of it; `null` where the gateway mends it, or refuses the source. */
  readonly warning: WarningCode | null;
  /** Whether only the sound is wrong: it can be left out. */
  readonly isOfSound: boolean;
  /** Whether the server may go down: nothing of the kind is put there. */
  readonly isFatal: boolean;
}

export type FaultCode =
  | 'garbles-sound'
  | 'stretches-surround'
  | 'loses-depth'
  | 'lies-on-its-side'
  | 'decodes-unevenly'
  | 'fails-on-odd-heights'
  | 'dies-of-unknown-sound';

interface Rule extends ServerFault {
  /** Whether a graph that uses clips so comes across it. */
  readonly isMet: (use: ClipUse) => boolean;
  /** Whether it is wrong of this one. */
  readonly concerns: (clip: VideoInfo, use: ClipUse) => boolean;
}

const isDecoded = (use: ClipUse): boolean => use.isDecoded;
const usual = { warning: null, isOfSound: false, isFatal: false, isMet: isDecoded } as const;
const ofSound = { ...usual, warning: 'sound_garbled', isOfSound: true, isMet: readsSound } as const;

/** By what is known of its history; the numbers are upstream's. `docs/operators.md` has the same table. */
const rules: readonly Rule[] = [
  {
    code: 'garbles-sound',
    until: '0.17.0', // 12652
    what: 'makes noise of PCM and FLAC sound',
    ...ofSound,
    concerns: (clip, use) =>
      soundTracks(clip, use).some(({ codec }) => /^(pcm|flac|ulaw|alaw)/.test(codec ?? '')),
  },
  {
    code: 'stretches-surround',
    until: '0.17.0', // 12550, 12652
    what: 'makes sound of 5.1 channels three times too long',
    ...ofSound,
    concerns: (clip, use) => soundTracks(clip, use).some(({ layout }) => layout === '5.1'),
  },
  {
    code: 'loses-depth',
    until: '0.20.0', // 13542
    what: 'reads clips of more than 8 bits as 8',
    ...usual,
    warning: 'depth_lost',
    concerns: ({ bitDepth = 8 }) => bitDepth > 8,
  },
  {
    code: 'lies-on-its-side',
    until: '0.21.0', // 13605
    what: 'does not turn clips upright',
    ...usual,
    // Who copies a clip is not known to copy its matrix.
    isMet: () => true,
    concerns: ({ rotation = 0 }) => rotation !== 0,
  },
  {
    code: 'decodes-unevenly',
    until: '0.25.0', // 14438
    what: 'does not read a clip the same each time whose width is no multiple of 32',
    ...usual,
    warning: 'uneven_width',
    concerns: ({ width, stored = { width } }) => stored.width % 32 !== 0,
  },
  {
    code: 'fails-on-odd-heights',
    until: '0.25.0', // 14491
    what: 'may fail on a clip of an odd height',
    ...usual,
    warning: 'odd_height',
    concerns: ({ height, stored = { height } }) => stored.height % 2 !== 0,
  },
  {
    code: 'dies-of-unknown-sound',
    until: '0.28.0', // 14746
    what: "goes down over sound that it cannot decode, such as Apple's spatial sound (APAC)",
    ...usual,
    isFatal: true,
    concerns: ({ audioTracks = [] }) => audioTracks.some(isUndecodable),
  },
];

/** All that is known, in the order of versions. */
export const knownFaults: readonly ServerFault[] = rules.map(withoutRule);

/** What a server of this version gets wrong. Of one that does not tell its version nothing is known. */
export function versionFaults(version: string | null): ServerFault[] {
  return faultsOf(version).map(withoutRule);
}

/** What of that a graph comes across that uses clips so. */
export function graphFaults(version: string | null, use: ClipUse | null): ServerFault[] {
  return metBy(use, faultsOf(version)).map(withoutRule);
}

/** What it gets wrong of such a source. */
export function serverFaults(
  version: string | null,
  source: MediaInfo,
  use: ClipUse | null,
): ServerFault[] {
  return concerning(source, use, faultsOf(version)).map(withoutRule);
}

/** Whether some version gets something wrong of it. */
export function mayBeMisread(source: MediaInfo, use: ClipUse | null): boolean {
  return concerning(source, use, rules).length > 0;
}

function concerning(source: MediaInfo, use: ClipUse | null, among: readonly Rule[]): Rule[] {
  if (source.kind !== 'video' || use === null) return [];
  return metBy(use, among).filter(({ concerns }) => concerns(source, use));
}

/** VideoHelperSuite reads by itself, whatever the server. */
function metBy(use: ClipUse | null, among: readonly Rule[]): Rule[] {
  return use?.reader === 'comfyui' ? among.filter(({ isMet }) => isMet(use)) : [];
}

function faultsOf(version: string | null): Rule[] {
  if (version === null) return [];
  return rules.filter(({ until }) => isBefore(version, until));
}

function withoutRule({ isMet: _, concerns: __, ...fault }: Rule): ServerFault {
  return fault;
}

function readsSound({ sound, needsSound }: ClipUse): boolean {
  return needsSound || sound.length > 0;
}

/** In words, as operators read it. */
export function faultWords({ what, until }: ServerFault): string {
  return `${what} (mended in ${until})`;
}

/** By the numbers of `0.3.64` and the like; what stands behind them, such as `-dev`, does not count. */
function isBefore(version: string, other: string): boolean {
  const [one, two] = [numbersOf(version), numbersOf(other)];
  const at = two.findIndex((number, index) => number !== (one[index] ?? 0));
  return at !== -1 && (one[at] ?? 0) < (two[at] ?? 0);
}

function numbersOf(version: string): number[] {
  return (/\d+(?:\.\d+)*/.exec(version)?.[0] ?? '0').split('.').map(Number);
}
