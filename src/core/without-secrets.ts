import { cutText } from './cut-text.ts';

/** Longer texts are cut: nobody reads them in a log. */
const maxLength = 4_000;

/** A whole address, up to a blank or what it may be quoted with. */
const address = /:\/\/[^\s"<>`]*/g;
/** A query or fragment that stands behind a path alone. */
const query = /[?#][\w.%~+[\]-]+=[^\s"<>`]*/g;

/**
 * A text for the log: no address in it keeps its query, its fragment, or a user name and password. A
 * signed URL is a credential, and libraries put addresses into their messages.
 */
export function withoutSecrets(text: string): string {
  return cutText(text, maxLength)
    .replace(address, (found) => {
      const [authority = '', ...path] = (found.split(/[?#]/, 1)[0] ?? '').slice(3).split('/');
      return `://${[authority.slice(authority.lastIndexOf('@') + 1), ...path].join('/')}`;
    })
    .replace(query, '');
}
