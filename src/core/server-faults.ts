import type { MediaInfo, VideoInfo } from './media.ts';

/** What ComfyUI makes wrong of a clip, up to some version. */
export interface ServerFault {
  readonly code: 'lies-on-its-side' | 'loses-depth' | 'decodes-unevenly';
  /** The first version that makes it right. */
  readonly until: string;
  /** Subject and verb, for sentences: “ComfyUI 0.3.64 …”. */
  readonly what: string;
}

interface Rule extends ServerFault {
  readonly concerns: (clip: VideoInfo) => boolean;
}

/** By what is known of its history; the numbers are upstream's. */
const rules: readonly Rule[] = [
  {
    code: 'loses-depth',
    until: '0.20.0', // 13542
    what: 'reads clips of more than 8 bits as 8',
    concerns: ({ bitDepth = 8 }) => bitDepth > 8,
  },
  {
    code: 'lies-on-its-side',
    until: '0.21.0', // 13605
    what: 'does not turn clips upright',
    concerns: ({ rotation = 0 }) => rotation !== 0,
  },
  {
    code: 'decodes-unevenly',
    until: '0.25.0', // 14438
    what: 'does not read a clip of this width the same each time',
    concerns: ({ width, stored = { width } }) => stored.width % 32 !== 0,
  },
];

/**
 * What a server of this version gets wrong for such a source, when `LoadVideo` reads it. Of a server that
 * does not tell its version nothing is known.
 */
export function serverFaults(version: string | null, source: MediaInfo): ServerFault[] {
  if (version === null || source.kind !== 'video') return [];
  return rules
    .filter(({ until, concerns }) => isBefore(version, until) && concerns(source))
    .map(({ code, until, what }) => ({ code, until, what }));
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
