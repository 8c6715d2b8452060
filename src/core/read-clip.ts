import { soundFault } from './clip-sound.ts';
import type { ClipUse } from './clip-use.ts';
import { GatewayError } from './errors.ts';
import type { Slot } from './graph.ts';
import type { MediaInfo, Rotation, VideoInfo } from './media.ts';
import { faultWords, knownFaults, type ServerFault, serverFaults } from './server-faults.ts';
import type { Warning, WarningCode } from './warning.ts';

/** How a server is given a source, so that it makes of it what it is. */
export interface SourceReading {
  /** Degrees clockwise by which the frames are still to be turned. */
  readonly turn: Rotation;
  /** Links of its sound that are left out of the prompt. */
  readonly leftOut: readonly Slot[];
  /** What is wrong all the same. */
  readonly warnings: readonly Warning[];
}

const asItIs: SourceReading = { turn: 0, leftOut: [], warnings: [] };

/** What of the warnings depends on the server that runs the prompt. */
export const serverWarnings: ReadonlySet<WarningCode> = new Set([
  ...knownFaults.flatMap(({ warning }) => warning ?? []),
  'sound_left_out' as const,
]);

/**
 * Refuses a source that no server may get through this graph, before one is looked for.
 *
 * @throws GatewayError `media_unsupported`.
 */
export function checkSound(input: string, source: MediaInfo, use: ClipUse | null): void {
  if (source.kind !== 'video' || !use?.needsSound) return;
  const fault = soundFault(source, use);
  if (fault === null) return;
  throw new GatewayError(
    'media_unsupported',
    `The sound of ${input} cannot be left out of this workflow: ${fault}; ffmpeg -i in.mp4 -c:v copy -ac 2 out.mp4 mixes it down`,
    { field: input },
  );
}

/**
 * How a server of this version is given the source.
 *
 * @throws GatewayError `workflow_unsupported` where it must not get it.
 */
export function readingOf(
  input: string,
  source: MediaInfo,
  use: ClipUse | null,
  version: string | null,
): SourceReading {
  if (source.kind !== 'video' || use === null) return asItIs;
  const faults = serverFaults(version, source, use);
  const fatal = faults.find(({ isFatal }) => isFatal);
  if (fatal) throw fatalTo(input, version, fatal);
  const isOnItsSide = faults.some(({ code }) => code === 'lies-on-its-side');
  const left = leftOut(source, use, version, faults);
  return {
    turn: isOnItsSide ? (source.rotation ?? 0) : 0,
    leftOut: left === null ? [] : use.sound,
    warnings: [
      ...faults
        .filter(({ isOfSound }) => !isOfSound || use.needsSound)
        .flatMap((fault) => warningOf(fault, version)),
      ...(left?.why ? [{ code: 'sound_left_out' as const, message: left.why }] : []),
    ],
  };
}

/** Whether the sound is left out, and what a client hears of it; `null` where it goes its way. */
function leftOut(
  clip: VideoInfo,
  use: ClipUse,
  version: string | null,
  faults: readonly ServerFault[],
): { readonly why: string | null } | null {
  if (use.sound.length === 0) return null;
  // VideoHelperSuite promises sound in any case, and from ComfyUI 0.30.0 on such a promise is looked into.
  if (!clip.hasAudio) return use.reader === 'vhs' ? { why: null } : null;
  const begin = 'The sound of the source is left out';
  const unusual = soundFault(clip, use);
  if (unusual !== null) return { why: `${begin}: ${unusual}` };
  const spoilt = faults.find(({ isOfSound }) => isOfSound);
  return spoilt ? { why: `${begin}: ComfyUI ${version} ${faultWords(spoilt)}` } : null;
}

function warningOf(fault: ServerFault, version: string | null): Warning[] {
  const { warning: code } = fault;
  return code === null ? [] : [{ code, message: `ComfyUI ${version} ${faultWords(fault)}` }];
}

function fatalTo(input: string, version: string | null, fault: ServerFault): GatewayError {
  return new GatewayError(
    'workflow_unsupported',
    `${input} is kept from this server: ComfyUI ${version} ${faultWords(fault)}`,
    { field: input },
  );
}
