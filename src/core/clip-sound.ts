import type { ClipUse } from './clip-use.ts';
import type { AudioTrackInfo, VideoInfo } from './media.ts';

/**
 * Layouts that servers were seen to read and write as they are. Another one may end ComfyUI's process in its
 * encoder (run on 0.3.64 and 0.33.0).
 */
const knownLayouts: Readonly<Record<ClipUse['reader'], ReadonlySet<string | null>>> = {
  comfyui: new Set(['mono', 'stereo', '5.1']),
  // It reads what it does not know by name as two channels, or fails.
  vhs: new Set(['mono', 'stereo']),
};

/** Apple's spatial sound stands beside a usual track. FFmpeg has no decoder for it. */
const undecodable = 'apac';

/** The tracks that a server may read, which are none where nothing is known of them. */
export function soundTracks(
  { audioTracks = [] }: VideoInfo,
  { reader }: ClipUse,
): AudioTrackInfo[] {
  const decodable = audioTracks.filter(({ codec }) => codec !== undecodable);
  // ComfyUI takes the last one; which one FFmpeg's program takes follows from more than is known here.
  return reader === 'comfyui' ? decodable.slice(-1) : decodable;
}

export function isUndecodable({ codec }: AudioTrackInfo): boolean {
  return codec === undecodable;
}

/** Why the sound has to be kept from servers, in words that follow it; `null` where they take it. */
export function soundFault(clip: VideoInfo, use: ClipUse): string | null {
  const known = knownLayouts[use.reader];
  const unusual = soundTracks(clip, use).find(({ layout }) => !known.has(layout));
  return (
    (unusual &&
      `it has ${channelsOf(unusual)}, and the nodes that read it are only known to take ${[...known].join(', ')}`) ??
    null
  );
}

function channelsOf({ channels, layout }: AudioTrackInfo): string {
  const count = `${channels} channel${channels === 1 ? '' : 's'}`;
  return layout === null ? `${count} of an unusual layout` : `${count} (${layout})`;
}
