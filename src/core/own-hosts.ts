/** Names and addresses under which a gateway is asked. */
export interface OwnHostsOptions {
  /** Where it listens, as the settings have it. */
  readonly host: string;
  /** The base of its links; `null` where nobody said it. */
  readonly publicUrl: string | null;
  /** Further names: `gateway.lan`, `*.example.com`. */
  readonly allowedHosts: readonly string[];
  /** Addresses of this machine as they are now, bare: `192.168.0.7`, `fe80::1`. */
  readonly addresses: () => readonly string[];
}

/** Knows by which hosts the gateway may be asked: loopback, its own addresses, and those that settings name. */
export class OwnHosts {
  readonly #named: ReadonlySet<string>;
  readonly #domains: readonly string[];
  readonly #addresses: () => readonly string[];

  constructor({ host, publicUrl, allowedHosts, addresses }: OwnHostsOptions) {
    const domains = allowedHosts.filter((name) => name.startsWith('*.'));
    const ofPublicUrl = publicUrl === null ? null : URL.parse(publicUrl);
    const names = [host, ...allowedHosts].map(bracketed);
    this.#named = new Set(
      [...names, ...(ofPublicUrl ? [ofPublicUrl.hostname] : [])].map(plainHost),
    );
    this.#domains = domains.map((name) => plainHost(name.slice(1)));
    // Only whoever listens everywhere is reached by all of them.
    this.#addresses = wildcards.has(host) ? addresses : () => [];
  }

  /** `hostname`: as `URL` has it, IPv6 in brackets. */
  has(hostname: string): boolean {
    const host = plainHost(hostname);
    return (
      isLoopbackHost(host) ||
      this.#named.has(host) ||
      this.#domains.some((domain) => host.endsWith(domain)) ||
      (isAddress(host) && this.#addresses().some((each) => bracketed(each) === host))
    );
  }
}

/** To listen there is to listen at every address of the machine. */
const wildcards: ReadonlySet<string> = new Set(['0.0.0.0', '::', '[::]']);

/** Whether only this machine is meant. Names below `localhost` lead nowhere else (RFC 6761). */
export function isLoopbackHost(host: string): boolean {
  const name = plainHost(bracketed(host));
  return (
    name === 'localhost' ||
    name.endsWith('.localhost') ||
    name === '[::1]' ||
    /^127(\.\d{1,3}){3}$/.test(name)
  );
}

function isAddress(host: string): boolean {
  return host.startsWith('[') || /^\d+(\.\d+){3}$/.test(host);
}

/** An IPv6 address as it stands in a URL. */
function bracketed(host: string): string {
  return host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
}

/** A name may end with a dot, and is the same in capitals. */
function plainHost(host: string): string {
  return host.toLowerCase().replace(/\.$/, '');
}
