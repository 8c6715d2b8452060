/** The one thing in EXIF without which a picture looks different. */

const orientationTag = 0x0112;
const shortType = 3;

/**
 * EXIF that says nothing but how the picture has to be turned; `null` where it stands upright.
 *
 * @param exif From its byte order mark on (TIFF 6.0 §2).
 */
export function onlyOrientation(exif: Buffer): Buffer | null {
  const orientation = readOrientation(exif);
  if (orientation === null || orientation < 2 || orientation > 8) return null;
  const tiff = Buffer.alloc(26);
  tiff.write('MM\0*', 'latin1');
  tiff.writeUInt32BE(8, 4);
  tiff.writeUInt16BE(1, 8);
  tiff.writeUInt16BE(orientationTag, 10);
  tiff.writeUInt16BE(shortType, 12);
  tiff.writeUInt32BE(1, 14);
  tiff.writeUInt16BE(orientation, 18);
  return tiff;
}

function readOrientation(exif: Buffer): number | null {
  if (exif.length < 10) return null;
  const isLittle = exif.toString('latin1', 0, 2) === 'II';
  const u16 = (at: number) => (isLittle ? exif.readUInt16LE(at) : exif.readUInt16BE(at));
  const first = isLittle ? exif.readUInt32LE(4) : exif.readUInt32BE(4);
  if (first + 2 > exif.length) return null;
  const count = u16(first);
  for (let i = 0; i < count; i += 1) {
    const at = first + 2 + i * 12;
    if (at + 12 > exif.length) return null;
    if (u16(at) === orientationTag) return u16(at + 8);
  }
  return null;
}
