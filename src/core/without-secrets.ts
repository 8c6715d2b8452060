import { cutText } from './cut-text.ts';

/** Longer texts are cut: nobody reads them in a log. */
const maxLength = 4_000;

/** A whole address, up to a blank or what it may be quoted with. */
const address = /:\/\/[^\s"<>`]*/g;
/** In front of an address's host, and of that of another one in its path. */
const credentials = /:\/\/[^/]*@/g;
/** Where a text was cut in an address before its path: what is there may be a password. */
const unfinished = /:\/\/[^\s"<>`/?#]*$/;
/** A query or fragment that stands behind a path alone. */
const query = /[?#][\w.%~+[\]-]+=[^\s"<>`]*/g;

/**
 * A text for the log: no address in it keeps its query, its fragment, or a user name and password. A
 * signed URL is a credential, and libraries put addresses into their messages.
 */
export function withoutSecrets(text: string): string {
  const cut = cutText(text, maxLength);
  const whole = cut.length < text.length ? cut.replace(unfinished, '://…') : cut;
  return whole
    .replace(address, (found) => (found.split(/[?#]/, 1)[0] ?? '').replace(credentials, '://'))
    .replace(query, '');
}
