import { parseUuid } from './uuid.ts';

/** Files that clients send us instead of an address. As sources they have addresses of our own. */

const scheme = 'upload:';

/** The address under which a task names the upload. */
export function uploadUrl(id: string): string {
  return `${scheme}${id}`;
}

/** Whether the address is meant to name an upload, well-formed or not. */
export function isUploadUrl(url: string): boolean {
  return url.toLowerCase().startsWith(scheme);
}

/** The id of the upload that the address names; `null` for any other address. */
export function uploadIdOf(url: string): string | null {
  return isUploadUrl(url) ? parseUuid(url.slice(scheme.length)) : null;
}

const folder = 'uploads/';

/** Where the object store keeps it. */
export function uploadKey(id: string): string {
  return `${folder}${id}`;
}

/** Whether the object is an upload, or might be one to a file system that takes capital letters for small ones. */
export function isUploadKey(key: string): boolean {
  return key.toLowerCase().startsWith(folder);
}
