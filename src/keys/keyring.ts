import { timingSafeEqual } from 'node:crypto';
import { type Caller, everybody, type Scope } from '../core/caller.ts';
import type { Tempo } from '../core/tempo.ts';
import { reaching } from '../db/errors.ts';
import { every } from '../timing/every.ts';
import type { KeyStore, KeyTable, StoredKey } from './key-store.ts';
import { digestOf, idIn } from './key-text.ts';

/** A key that the settings give to somebody. */
export interface SettingsKey {
  /** Of the key and of its tenant. */
  readonly name: string;
  readonly key: string;
  readonly scopes: readonly Scope[];
}

export interface KeyringParts {
  readonly settings: readonly SettingsKey[];
  readonly store: Pick<KeyStore, 'read' | 'noteUse'>;
  /** Whether others may change the table. */
  readonly isShared: boolean;
  readonly tempo: Tempo['keys'];
}

/** A key as a request brought it. */
interface Asked {
  readonly digest: string;
  /** Of a stored key; `null` where it cannot be one. */
  readonly id: string | null;
}

/**
 * Knows callers by their keys: those of the settings, and those of the table, of which it holds a copy. The copy is
 * read again now and then, and whenever a change is told of. What was read holds for a second: a gateway that has
 * lost the database takes no revoked key for longer, and then tells nobody that a key is wrong.
 */
export class Keyring implements AsyncDisposable {
  readonly #parts: KeyringParts;
  /** By their digests, which tell nothing of how much of a guess was right. */
  readonly #ofSettings: ReadonlyMap<string, Caller>;
  #table: KeyTable = { stamp: '', hasKeys: false, keys: new Map() };
  /** When the reading of the copy began, by the clock of this process. */
  #readAt = Number.NEGATIVE_INFINITY;
  #changes = 0;
  #reading: Promise<void> | null = null;
  readonly #used = new Set<string>();
  readonly #stop = new AbortController();
  readonly #loops: Promise<void>[] = [];

  private constructor(parts: KeyringParts) {
    this.#parts = parts;
    this.#ofSettings = new Map(
      parts.settings.map(({ name, key, scopes }) => [
        digestOf(key),
        { tenant: name, key: name, scopes: new Set(scopes) },
      ]),
    );
  }

  /** @throws whatever the database does. */
  static async open(parts: KeyringParts): Promise<Keyring> {
    const keyring = new Keyring(parts);
    await keyring.#read();
    const { lookEveryMs, usesTogetherMs } = parts.tempo;
    const later = { isLater: true, onError: () => {} };
    const { signal } = keyring.#stop;
    keyring.#loops.push(every(usesTogetherMs, signal, () => keyring.#noteUses(), later));
    if (parts.isShared) {
      keyring.#loops.push(every(lookEveryMs, signal, () => keyring.#read(), later));
    }
    return keyring;
  }

  /** Whether keys are asked for. Where there has been a key they are, also when it is revoked or over. */
  get isGuarded(): boolean {
    return this.#ofSettings.size > 0 || this.#table.hasKeys;
  }

  /** Somebody has changed the table. */
  readonly outdate = (): void => {
    this.#changes += 1;
    this.#readAt = Number.NEGATIVE_INFINITY;
    void this.#read().catch(() => {});
  };

  /**
   * Who has the key; `null` for nobody.
   *
   * @throws GatewayError `unavailable` where that cannot be told.
   */
  async find(key: string | undefined): Promise<Caller | null> {
    const asked = ask(key);
    const at = performance.now();
    while (this.#needsTable(asked) && !this.#holdsAt(at)) await reaching(this.#read());
    return this.#answer(asked);
  }

  /** The same without a wait; `null` also where it cannot be told at once. */
  now(key: string | undefined): Caller | null {
    const asked = ask(key);
    const isTold = !this.#needsTable(asked) || this.#holdsAt(performance.now());
    return isTold ? this.#answer(asked) : null;
  }

  #needsTable({ digest, id }: Asked): boolean {
    return !this.#ofSettings.has(digest) && (id !== null || this.#ofSettings.size === 0);
  }

  #holdsAt(at: number): boolean {
    const { isShared, tempo } = this.#parts;
    return at - this.#readAt < (isShared ? tempo.holdMs : Number.POSITIVE_INFINITY);
  }

  #answer({ digest, id }: Asked): Caller | null {
    const ofSettings = this.#ofSettings.get(digest);
    if (ofSettings) return ofSettings;
    if (!this.isGuarded) return everybody;
    // An unknown id takes as long as a known one.
    const stored = this.#table.keys.get(id ?? '') ?? nobody;
    if (!isGood(stored, digest, Date.now())) return null;
    this.#used.add(stored.id);
    return { tenant: stored.tenant, key: stored.name, scopes: new Set(stored.scopes) };
  }

  /** Reads the table, or waits until that is done which is under way. */
  #read(): Promise<void> {
    this.#reading ??= this.#readTable().finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  async #readTable(): Promise<void> {
    for (let changes = -1; changes !== this.#changes; ) {
      changes = this.#changes;
      const began = performance.now();
      this.#table = (await this.#parts.store.read(this.#table.stamp)) ?? this.#table;
      // A change that was told of meanwhile may not be in it.
      if (changes === this.#changes) this.#readAt = began;
    }
  }

  async #noteUses(): Promise<void> {
    const ids = [...this.#used];
    this.#used.clear();
    if (ids.length > 0) await this.#parts.store.noteUse(ids);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#loops);
    await this.#noteUses().catch(() => {});
  }
}

function ask(key = ''): Asked {
  return { digest: digestOf(key), id: idIn(key) };
}

/** No key has this digest: it is not made of hexadecimal digits. */
const noDigest = '-'.repeat(digestOf('').length);

const nobody: StoredKey = {
  ...{ id: '', tenant: '', name: '', scopes: [], expiresMs: null },
  ...{ digest: noDigest, formerDigest: null, formerUntilMs: null },
};

function isGood(key: StoredKey, digest: string, now: number): boolean {
  const isCurrent = isSame(digest, key.digest);
  const isFormer = isSame(digest, key.formerDigest ?? noDigest);
  return (
    (isCurrent || (isFormer && now < (key.formerUntilMs ?? 0))) &&
    now < (key.expiresMs ?? Number.POSITIVE_INFINITY)
  );
}

/** Takes as long wherever the two differ. */
function isSame(digest: string, other: string): boolean {
  return timingSafeEqual(Buffer.from(digest), Buffer.from(other));
}
