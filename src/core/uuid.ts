const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The UUID that the text is, in small letters; `null` for any other text. */
export function parseUuid(text: string): string | null {
  const id = text.toLowerCase();
  return uuid.test(id) ? id : null;
}

/** The UUID of these 32 hex digits, in small letters; `null` for any other text. */
export function uuidOfHex(text: string): string | null {
  if (!/^[0-9a-f]{32}$/.test(text)) return null;
  return text.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
