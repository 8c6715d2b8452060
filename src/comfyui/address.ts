/** Where a ComfyUI server is: `http(s)://user:pass@host:port/prefix`. */
export interface BackendAddress {
  /** Without credentials and without a slash at the end: the server's name in records and logs. */
  readonly label: string;
  readonly origin: string;
  /** `''` or `/prefix`. */
  readonly prefix: string;
  /** For HTTP and for the WebSocket. */
  readonly headers: Readonly<Record<string, string>>;
}

/** @throws Error naming what is wrong with the URL, without repeating its password. */
export function parseBackendAddress(text: string): BackendAddress {
  const url = URL.parse(text.trim());
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:') || url.search || url.hash) {
    throw new Error('a backend is given as http(s)://[user:password@]host[:port][/prefix]');
  }
  const prefix = url.pathname.replace(/\/+$/, '');
  const credentials = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return {
    label: `${url.origin}${prefix}`,
    origin: url.origin,
    prefix,
    headers:
      credentials === ':'
        ? {}
        : { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` },
  };
}
