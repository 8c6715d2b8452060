import { lookup } from 'node:dns/promises';
import { EventEmitter } from 'node:events';
import { isIPv4 } from 'node:net';
import { realTempo, type Tempo } from '../core/tempo.ts';
import { untilAborted } from '../core/until-aborted.ts';
import { every } from '../timing/every.ts';
import type { BackendAddress, DnsName } from './address.ts';

export interface DnsDiscoveryOptions extends Partial<Tempo['discovery']> {
  /** The name's IP addresses; the system's resolver (and `/etc/hosts`) unless a test brings its own. */
  readonly resolve?: (hostname: string) => Promise<string[]>;
}

interface DiscoveryEventMap {
  /** Servers came or went; these are all that there are now. */
  changed: [addresses: readonly BackendAddress[]];
  /** The name could not be looked up. What was known stays known. */
  failed: [error: Error];
}

/** The servers behind a DNS name, read again and again: they come and go with their replicas. */
export class DnsDiscovery extends EventEmitter<DiscoveryEventMap> implements AsyncDisposable {
  readonly #name: DnsName;
  readonly #resolve: (hostname: string) => Promise<string[]>;
  readonly #tempo: Tempo['discovery'];
  readonly #stop = new AbortController();
  #addresses: readonly BackendAddress[] = [];
  #lookup: Promise<string[]> | null = null;
  #running: Promise<void> | null = null;

  constructor(name: DnsName, { resolve = systemLookup, ...tempo }: DnsDiscoveryOptions = {}) {
    super();
    this.#name = name;
    this.#resolve = resolve;
    this.#tempo = { ...realTempo.discovery, ...tempo };
  }

  /** All that are known, in a fixed order; none before the first answer. */
  get addresses(): readonly BackendAddress[] {
    return this.#addresses;
  }

  start(): void {
    const { signal } = this.#stop;
    const look = async () => this.#keep(oneFamily(await this.#ips(signal)));
    const onError = (error: unknown) => {
      if (!signal.aborted) this.emit('failed', error as Error);
    };
    this.#running ??= every(this.#tempo.lookEveryMs, signal, look, { onError });
  }

  /**
   * A look-up that is overdue is waited for again in the next round, not repeated: it cannot be broken
   * off, and a few that hang would take every thread that Node has for files.
   */
  async #ips(signal: AbortSignal): Promise<string[]> {
    this.#lookup ??= this.#resolve(this.#name.hostname).finally(() => {
      this.#lookup = null;
    });
    const ips = await untilAborted(
      this.#lookup,
      AbortSignal.any([signal, AbortSignal.timeout(this.#tempo.answerDeadlineMs)]),
    );
    if (ips.length === 0) throw new Error(`${this.#name.hostname} has no addresses`);
    return ips;
  }

  #keep(ips: readonly string[]): void {
    // A resolver hands them out in another order each time.
    const addresses = [...new Set(ips)].sort().map((ip) => this.#name.at(ip));
    const labels = (list: readonly BackendAddress[]) => list.map(({ label }) => label).join();
    if (labels(addresses) === labels(this.#addresses)) return;
    this.#addresses = addresses;
    this.emit('changed', addresses);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}

/** Of a name with addresses of both kinds only the IPv4 ones: else each server would be two. */
function oneFamily(ips: readonly string[]): readonly string[] {
  const v4 = ips.filter(isIPv4);
  return v4.length > 0 ? v4 : ips;
}

async function systemLookup(hostname: string): Promise<string[]> {
  const found = await lookup(hostname, { all: true });
  return found.map(({ address }) => address);
}
