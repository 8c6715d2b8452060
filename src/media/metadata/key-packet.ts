/**
 * Whether the packet of a codec can be shown without any before it; `null` where that is not known.
 *
 * @param lengthBytes By how many bytes a unit of H.264 or HEVC tells its length.
 */
export function isKeyPacket(entry: string, packet: Buffer, lengthBytes: number): boolean | null {
  if (entry === 'avc1' || entry === 'avc3') return firstDecisive(packet, lengthBytes, avcUnit);
  if (entry === 'hvc1' || entry === 'hev1') return firstDecisive(packet, lengthBytes, hevcUnit);
  return null;
}

/** What the first unit says that is part of a picture. */
function firstDecisive(
  packet: Buffer,
  lengthBytes: number,
  unit: (bytes: Buffer) => boolean | null,
): boolean | null {
  for (let at = 0; at + lengthBytes < packet.length; ) {
    const start = at + lengthBytes;
    const end = start + packet.readUIntBE(at, lengthBytes);
    const says = unit(packet.subarray(start, end));
    if (says !== null) return says;
    at = end;
  }
  return null;
}

/** ITU-T H.264 §7.4.1; a message of the type "recovery point" lets a decoder begin at any picture. */
function avcUnit([header = 0, message = 0]: Buffer): boolean | null {
  const type = header & 0x1f;
  if (type === 5 || (type === 6 && message === 6)) return true;
  return type >= 1 && type <= 4 ? false : null;
}

/** ITU-T H.265 §7.4.2.2: 16 to 21 are pictures at which a decoder may begin. */
function hevcUnit([header = 0]: Buffer): boolean | null {
  const type = (header >> 1) & 0x3f;
  if (type >= 32) return null;
  return type >= 16 && type <= 21;
}
