import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Brings a request into the form that all others have: a path, and one host as `URL` writes it. Proxies and some
 * clients name the whole address (RFC 9112 §3.2.2), whose host goes before `Host`; a name and password in it are
 * nobody's here. An old client names no host at all: it means the address that it reached.
 */
export function toOriginForm(request: IncomingMessage): void {
  const { url = '', headers, headersDistinct, socket } = request;
  const address = /^https?:\/\//i.test(url) ? URL.parse(url) : null;
  if (address) {
    request.url = address.pathname + address.search;
    headers.host = address.host;
  } else {
    const [host, another] = headersDistinct.host ?? [];
    headers.host = another === undefined ? hostOf(host || reached(socket)) : malformed;
  }
  // A request for a WebSocket that nobody takes comes here twice.
  headersDistinct.host = [headers.host];
}

/** No address can be made with it: the request is refused. */
const malformed = ' ';

function hostOf(text: string): string {
  return /[\s/\\?#@]/.test(text) ? malformed : (URL.parse(`http://${text}`)?.host ?? malformed);
}

function reached({ localAddress = '', localPort }: Socket): string {
  const address = localAddress.replace(/^::ffff:/, '');
  return `${address.includes(':') ? `[${address}]` : address}:${localPort}`;
}
