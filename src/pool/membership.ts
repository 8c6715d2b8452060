import { type BackendAddress, type BackendEntry, parseBackendAddress } from '../comfyui/address.ts';
import { DnsDiscovery } from '../comfyui/discovery.ts';
import type { BackendReport } from '../core/backend.ts';
import { shareOut } from '../core/share-out.ts';
import type { Tempo } from '../core/tempo.ts';
import type { Workflow } from '../core/workflow.ts';
import type { Notices } from '../db/notices.ts';
import type { PoolLog } from '../telemetry/pool-log.ts';
import { Alarm } from '../timing/alarm.ts';
import { every } from '../timing/every.ts';
import type { BackendRecord, BackendStore, Renewal } from './backend-store.ts';
import type { LeaseClock } from './lease-clock.ts';
import type { Pool } from './pool.ts';

export interface MembershipParts {
  readonly owner: string;
  readonly store: BackendStore;
  readonly pool: Pool;
  readonly lease: LeaseClock;
  readonly notices: Notices;
  /** From the settings. */
  readonly entries: readonly BackendEntry[];
  /** By a backend's label, its `input` folder as it is here; from the settings. */
  readonly inputDirs: ReadonlyMap<string, string>;
  readonly workflows: { all(): Iterable<Workflow> };
  readonly log: PoolLog;
  readonly tempo: Pick<Tempo, 'lease' | 'membership' | 'discovery'>;
}

/**
 * Which backends this gateway drives: its share of those in the settings, behind DNS names and added
 * at run time. Whoever is alive renews its leases; what a dead gateway drove is shared out anew.
 */
export class Membership {
  readonly #parts: MembershipParts;
  readonly #stop = new AbortController();
  readonly #fixed: readonly BackendAddress[];
  readonly #discoveries: readonly DnsDiscovery[];
  readonly #look = new Alarm();
  #loops: Promise<unknown> | null = null;
  #records: readonly BackendRecord[] = [];
  readonly #changed = new Set<string>();
  #reporting: NodeJS.Timeout | null = null;

  constructor(parts: MembershipParts) {
    this.#parts = parts;
    this.#fixed = parts.entries.flatMap((entry) => (entry.kind === 'fixed' ? entry.address : []));
    this.#discoveries = parts.entries.flatMap((entry) =>
      entry.kind === 'dns' ? new DnsDiscovery(entry, parts.tempo.discovery) : [],
    );
  }

  /** All backends of all gateways, as of the last round. */
  get records(): readonly BackendRecord[] {
    return this.#records;
  }

  /** How many DNS names stand for no server at present: some may come. */
  get emptyNames(): number {
    return this.#discoveries.filter(({ addresses }) => addresses.length === 0).length;
  }

  /** Where the backend's `input` folder is here; `null` where inputs are uploaded. */
  inputDirOf({ label, inputDir }: Pick<BackendRecord, 'label' | 'inputDir'>): string | null {
    return this.#parts.inputDirs.get(label) ?? inputDir;
  }

  /** When this returns, the backends that nobody else drives are ours. */
  async start(): Promise<void> {
    for (const discovery of this.#discoveries) {
      discovery.on('changed', this.#look.ring);
      discovery.on('failed', (error, isNews) => {
        // A resolver that is away for days is told of once.
        if (isNews) this.#parts.log.discoveryFailed(error);
      });
      discovery.start();
    }
    this.#parts.notices.on('pool', this.#look.ring);
    await this.sync();
    await this.#parts.store.announce();
    this.#loops = Promise.all([this.#keepSynced(), this.#keepReported()]);
  }

  /** Gives everything up, so that others need not wait for the leases to run out. */
  async stop(): Promise<void> {
    this.#parts.notices.off('pool', this.#look.ring);
    this.#stop.abort();
    await this.#loops;
    if (this.#reporting) clearTimeout(this.#reporting);
    await Promise.all(this.#discoveries.map((each) => each[Symbol.asyncDispose]()));
    await this.#parts.store.leave().catch((error) => this.#parts.log.syncFailed(error));
  }

  /** Something is new about a backend of ours: other gateways are told. */
  readonly changed = (label: string): void => {
    // What is given up is reported by whoever takes it.
    if (this.#stop.signal.aborted) return;
    this.#changed.add(label);
    this.#reporting ??= setTimeout(
      () => void this.#report(),
      this.#parts.tempo.membership.reportAfterMs,
    );
  };

  /** One round: renew, let go of what is lost or too much, take what is free. */
  async sync(): Promise<void> {
    const { owner, store, pool, lease, log } = this.#parts;
    const addresses = [...this.#fixed, ...this.#discoveries.flatMap((each) => each.addresses)];
    const askedAt = performance.now();
    const renewal = await store.renew(addresses.map(({ label }) => label));
    lease.renewed('backends', askedAt);
    this.#records = renewal.backends;
    this.#parts.notices.hasOthers = renewal.gateways.length > 1;

    const known = new Map(addresses.map((address) => [address.label, address]));
    for (const { label, url, wanted } of renewal.backends) {
      if (url && wanted !== 'removed') known.set(label, parseBackendAddress(url));
    }
    const members = renewal.backends.flatMap((record) => {
      const address = record.wanted === 'removed' ? undefined : known.get(record.label);
      return address ? [{ ...record, address }] : [];
    });
    const { take, giveUp } = shareOut(owner, holdings(renewal), members.length);
    const ours = members.filter((member) => member.owner === owner).map(({ label }) => label);
    const free = members.filter((member) => member.owner === null).map(({ label }) => label);
    const taken = await store.take(free.slice(0, take));
    for (const label of taken) log.backendTaken(label);

    const kept = new Set([...this.#vacantLast(ours).slice(0, ours.length - giveUp), ...taken]);
    for (const member of members) {
      if (!kept.has(member.label)) continue;
      const backend = pool.add(member.address);
      backend.shareInputs(this.inputDirOf(member));
      backend.drain(member.wanted === 'draining');
    }
    for (const label of pool.allLabels) {
      if (!kept.has(label)) await this.#letGo(label);
    }
    await store.forget();
  }

  /** The lease is lost, or is another's to have: what the backend works on is ended, then it goes. */
  async #letGo(label: string): Promise<void> {
    const { store, pool, log } = this.#parts;
    if (!(await pool.remove(label))) return;
    await store.giveUp(label);
    log.backendLeft(label);
  }

  /** In this order they are kept: no task has to move for the sake of even shares. */
  #vacantLast(labels: readonly string[]): string[] {
    const isVacant = (label: string) => this.#parts.pool.get(label)?.isVacant ?? true;
    return labels.toSorted((a, b) => Number(isVacant(a)) - Number(isVacant(b)));
  }

  async #keepSynced(): Promise<void> {
    const { tempo, log } = this.#parts;
    await every(tempo.lease.renewEveryMs, this.#stop.signal, () => this.sync(), {
      alarm: this.#look,
      isLater: true,
      onError: (error) => log.syncFailed(error),
    });
  }

  async #keepReported(): Promise<void> {
    const { tempo, pool } = this.#parts;
    await every(tempo.membership.reportEveryMs, this.#stop.signal, () => {
      for (const label of pool.labels) this.changed(label);
    });
  }

  async #report(): Promise<void> {
    this.#reporting = null;
    const { pool, store, workflows, log } = this.#parts;
    const reports = new Map<string, BackendReport>();
    for (const label of this.#changed) {
      const backend = pool.get(label);
      if (backend) reports.set(label, backend.report(workflows.all()));
    }
    this.#changed.clear();
    await store.report(reports).catch((error) => log.syncFailed(error));
  }
}

function holdings({ gateways, backends }: Renewal): Map<string, number> {
  const held = new Map(gateways.map((id) => [id, 0]));
  for (const { owner, wanted } of backends) {
    if (!owner || wanted === 'removed') continue;
    held.set(owner, (held.get(owner) ?? 0) + 1);
  }
  return held;
}
