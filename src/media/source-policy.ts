import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** What operators trust beyond the public internet (`SOURCE_ALLOW`). */
export interface SourceAllow {
  readonly hosts: readonly AllowedHost[];
  readonly networks: readonly AllowedNetwork[];
}

interface AllowedHost {
  /** `media.lan`, or `.lan` for all of its subdomains. */
  readonly name: string;
  readonly port: number | null;
}

interface AllowedNetwork {
  readonly range: [address: Address, prefixBits: number];
  readonly port: number | null;
}

/**
 * Reads a comma-separated list of host names, `*.domain`, addresses and CIDRs, each with a port or
 * for any.
 *
 * @throws Error naming the entry that is wrong.
 */
export function parseSourceAllow(list: string): SourceAllow {
  const hosts: AllowedHost[] = [];
  const networks: AllowedNetwork[] = [];
  for (const entry of list.split(',').map((part) => part.trim().toLowerCase())) {
    if (entry === '') continue;
    const { host, port } = splitPort(entry);
    const range = parseRange(host);
    if (range) networks.push({ range, port });
    else if (isName(host)) hosts.push({ name: host.replace(/^\*/, ''), port });
    else throw new Error(`has an entry that is no host, address or CIDR: ${entry}`);
  }
  return { hosts, networks };
}

function splitPort(entry: string): { host: string; port: number | null } {
  const match = /^(?:\[(.+:.+)\]|([^:[\]]+)):(\d{1,5})$/.exec(entry);
  if (!match) return { host: entry.replace(/^\[(.+:.+)\]$/, '$1'), port: null };
  const port = Number(match[3]);
  if (port < 1 || port > 65_535) throw new Error(`has an entry without a valid port: ${entry}`);
  return { host: match[1] ?? match[2] ?? '', port };
}

/** A last label that is a number makes an address of a name (WHATWG URL), and here a wrong one. */
function isName(text: string): boolean {
  return (
    /^(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9])?$/.test(text) && !/(^|\.)(\d+|0x[0-9a-f]*)$/.test(text)
  );
}

/** What an address is decides Node: ipaddr.js reads `10/8` as 0.0.0.10/8. */
function parseRange(text: string): [Address, number] | null {
  const [base = '', bits, ...rest] = text.split('/');
  if (isIP(base) === 0 || rest.length > 0) return null;
  if (bits !== undefined) return ipaddr.isValidCIDR(text) ? ipaddr.parseCIDR(text) : null;
  const address = ipaddr.process(base);
  return [address, address.kind() === 'ipv4' ? 32 : 128];
}

/** Whether the operator trusts the name, whatever it resolves to. */
export function permitsHost(allow: SourceAllow, host: string, port: number): boolean {
  return allow.hosts.some(
    (allowed) =>
      (allowed.port === null || allowed.port === port) &&
      (allowed.name.startsWith('.') ? host.endsWith(allowed.name) : host === allowed.name),
  );
}

/** Whether a connection to the address may be made: it is public, or the operator trusts it. */
export function permitsAddress(allow: SourceAllow, text: string, port: number): boolean {
  if (!ipaddr.isValid(text)) return false;
  const address = ipaddr.process(text);
  return isPublic(address) || isAllowed(allow, address, port);
}

function isAllowed(allow: SourceAllow, address: Address, port: number): boolean {
  return allow.networks.some(
    (network) =>
      (network.port === null || network.port === port) &&
      network.range[0].kind() === address.kind() &&
      address.match(network.range),
  );
}

/** Azure's platform answers every machine there at this address, which is a public one by its look. */
const azurePlatform = '168.63.129.16';

/**
 * `unicast` leaves out every block that is reserved for something: private, loopback, link-local,
 * carrier-grade NAT (where Aliyun's metadata is), and those that carry an IPv4 address inside an
 * IPv6 one, as 6to4, Teredo and NAT64 do (mapped addresses were unwrapped before).
 */
function isPublic(address: Address): boolean {
  if (address.range() !== 'unicast') return false;
  if (address.kind() === 'ipv4') return address.toString() !== azurePlatform;
  const { parts } = address as ipaddr.IPv6;
  return isGlobal(parts) && !isIsatap(parts);
}

/** Of IPv6 only 2000::/3 is given out (RFC 4291 §2.4); `::7f00:1` below it hides 127.0.0.1. */
function isGlobal([first = 0]: number[]): boolean {
  return first >> 13 === 0b001;
}

/** RFC 5214: in any network, the interface identifier 0000:5efe or 0200:5efe precedes an IPv4 address. */
function isIsatap([, , , , flags = 0, id]: number[]): boolean {
  return (flags & 0xfdff) === 0 && id === 0x5efe;
}
