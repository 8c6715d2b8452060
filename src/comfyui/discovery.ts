import { lookup } from 'node:dns/promises';
import { EventEmitter } from 'node:events';
import { isIPv4 } from 'node:net';
import { systemCodeOf } from '../core/system-code.ts';
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
  /** The name could not be looked up, or has no addresses. What was known stays known for now. `isNews`: not as before. */
  failed: [error: Error, isNews: boolean];
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
  /** Why the last look-up failed; `null` where it did not. */
  #failure: string | null = null;
  /** When it first had no addresses since it had some, by the clock that never goes back. */
  #emptySince: number | null = null;

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
    const look = async () => {
      const ips = await this.#ips(signal);
      this.#failure = null;
      if (ips.length > 0) this.#keep(oneFamily(ips));
      else this.#keepNone();
    };
    const onError = (error: unknown) => {
      if (signal.aborted) return;
      const { message } = error as Error;
      const isNews = message !== this.#failure;
      this.#failure = message;
      this.emit('failed', error as Error, isNews);
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
    return await untilAborted(
      this.#lookup,
      AbortSignal.any([signal, AbortSignal.timeout(this.#tempo.answerDeadlineMs)]),
    );
  }

  #keep(ips: readonly string[]): void {
    if (ips.length > 0) this.#emptySince = null;
    // A resolver hands them out in another order each time.
    const addresses = [...new Set(ips)].sort().map((ip) => this.#name.at(ip));
    const labels = (list: readonly BackendAddress[]) => list.map(({ label }) => label).join();
    if (labels(addresses) === labels(this.#addresses)) return;
    this.#addresses = addresses;
    this.emit('changed', addresses);
  }

  /** A resolver that fails may say the same for a moment: only a name that stays empty has no servers. */
  #keepNone(): void {
    const now = performance.now();
    if (this.#emptySince === null) {
      this.#emptySince = now;
      this.emit('failed', new Error(`${this.#name.hostname} has no addresses`), true);
    } else if (now - this.#emptySince >= this.#tempo.emptyAfterMs) {
      this.#keep([]);
    }
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
  try {
    const found = await lookup(hostname, { all: true });
    return found.map(({ address }) => address);
  } catch (error) {
    // A name without servers may be one that is not there: Kubernetes has none for a service without pods.
    if (systemCodeOf(error) === 'ENOTFOUND') return [];
    throw error;
  }
}
