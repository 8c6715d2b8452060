/** What of a HEIF file (ISO/IEC 23008-12) FFmpeg shows in another way than libheif. */

export interface AvifParts {
  /** The size of one tile, where the picture is stored as a grid of them. */
  readonly tile: { readonly width: number; readonly height: number } | null;
  /** The axis about which the picture is mirrored (§6.5.12), where it is. */
  readonly mirror: 'horizontal' | 'vertical' | null;
}

export function readAvif(bytes: Buffer): AvifParts {
  const isGrid = offsetsOf(bytes, 'infe').some(
    (at) => bytes.toString('latin1', at + 12, at + 16) === 'grid',
  );
  const sizes = offsetsOf(bytes, 'ispe').map((at) => ({
    width: bytes.readUInt32BE(at + 8),
    height: bytes.readUInt32BE(at + 12),
  }));
  const [least = null] = sizes.toSorted((a, b) => a.width * a.height - b.width * b.height);
  const [mirror] = offsetsOf(bytes, 'imir');
  return {
    tile: isGrid ? least : null,
    mirror: mirror === undefined ? null : bytes[mirror + 4] === 1 ? 'horizontal' : 'vertical',
  };
}

/** Where the names of such boxes stand. All lie in the header, before any coded picture. */
function offsetsOf(bytes: Buffer, name: string): number[] {
  const offsets: number[] = [];
  for (let at = bytes.indexOf(name); at !== -1; at = bytes.indexOf(name, at + 1)) offsets.push(at);
  return offsets;
}
