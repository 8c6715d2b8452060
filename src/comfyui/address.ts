import { createHash } from 'node:crypto';
import { isAbsolute, normalize } from 'node:path';

/** Where a ComfyUI server is: `http(s)://user:pass@host:port/prefix`. */
export interface BackendAddress {
  /** Twelve hex digits that follow from the label: the server's name where a URL does not fit. */
  readonly id: string;
  /** Without credentials and without a slash at the end: the server's name in records and logs. */
  readonly label: string;
  /** With the credentials, so that the same address can be read from it again. Not for logs. */
  readonly url: string;
  readonly origin: string;
  /** `''` or `/prefix`. */
  readonly prefix: string;
  /** For HTTP and for the WebSocket. */
  readonly headers: Readonly<Record<string, string>>;
  /** Whose certificate a server shows that is reached by its IP address. */
  readonly serverName?: string;
}

/** A name that stands for as many servers as it has IP addresses: `dns+http(s)://name:port`. */
export interface DnsName {
  /** Without credentials: its name in records and logs. */
  readonly label: string;
  /** What is looked up. */
  readonly hostname: string;
  /** The server at one of the name's IP addresses. */
  at(ip: string): BackendAddress;
}

/** One entry of `COMFYUI_BACKENDS`. */
export type BackendEntry =
  | { readonly kind: 'fixed'; readonly address: BackendAddress }
  | ({ readonly kind: 'dns' } & DnsName);

const dnsPrefix = 'dns+';
const fixedForm = 'http(s)://[user:password@]host[:port][/prefix]';
const entryForm = `${fixedForm} or, for every address of a name, as ${dnsPrefix}${fixedForm}`;

/** @throws Error naming what is wrong with the entry, without repeating its password. */
export function parseBackendEntry(text: string): BackendEntry {
  const entry = text.trim();
  if (!entry.startsWith(dnsPrefix))
    return { kind: 'fixed', address: addressOf(parse(entry, entryForm)) };
  const url = parse(entry.slice(dnsPrefix.length), entryForm);
  return {
    kind: 'dns',
    label: `${dnsPrefix}${labelOf(url)}`,
    hostname: url.hostname.replace(/^\[|\]$/g, ''),
    at: (ip) => addressAt(url, ip),
  };
}

/** @throws Error naming what is wrong with the URL, without repeating its password. */
export function parseBackendAddress(text: string): BackendAddress {
  return addressOf(parse(text, fixedForm));
}

/**
 * A server's `input` folder as it is here.
 *
 * @throws Error naming what is wrong with the path.
 */
export function parseInputDir(text: string): string {
  const path = text.trim();
  if (!isAbsolute(path) || path.includes('\0')) throw new Error('must be an absolute path');
  return normalize(path);
}

function parse(text: string, form: string): URL {
  const url = URL.parse(text.trim());
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:') || url.search || url.hash) {
    throw new Error(`a backend is given as ${form}`);
  }
  if (credentialsOf(url) === null) {
    throw new Error('a % in the user or the password of a backend is written as %25');
  }
  return url;
}

/** `user:password`, empty where there are none; `null` for what is not percent-encoded, which `URL` lets pass. */
function credentialsOf({ username, password }: URL): string | null {
  if (username === '' && password === '') return '';
  try {
    return `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  } catch {
    return null;
  }
}

function addressOf(url: URL): BackendAddress {
  const label = labelOf(url);
  const credentials = credentialsOf(url);
  return {
    id: createHash('sha256').update(label).digest('hex').slice(0, 12),
    label,
    url: url.href.replace(/\/+$/, ''),
    origin: url.origin,
    prefix: prefixOf(url),
    headers: credentials
      ? { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` }
      : {},
  };
}

function addressAt(named: URL, ip: string): BackendAddress {
  const url = new URL(named);
  url.hostname = ip.includes(':') ? `[${ip}]` : ip;
  const address = addressOf(url);
  if (url.protocol === 'http:') return address;
  // TLS and the sites behind it know the server by its name.
  const headers = { ...address.headers, host: named.host };
  return { ...address, headers, serverName: named.hostname };
}

function labelOf(url: URL): string {
  return `${url.origin}${prefixOf(url)}`;
}

function prefixOf({ pathname }: URL): string {
  return pathname.replace(/\/+$/, '');
}
