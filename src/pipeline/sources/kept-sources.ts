import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { Claim } from '../../core/attempt.ts';
import { hasEnded, type Source } from '../../core/task.ts';
import type { Spool } from '../../media/spool.ts';
import type { Happening } from '../../tasks/door.ts';
import type { HeldSourceStore } from '../../tasks/held-source-store.ts';
import type { SourceLog } from '../../telemetry/source-log.ts';
import type { ReportProgress } from '../attempt-journal.ts';
import type { AcquiredSource } from '../download/acquire-source.ts';
import type { SourceReader } from '../download/source-reader.ts';
import { SharedTransfer } from './shared-transfer.ts';

export interface KeptSourcesParts {
  readonly spool: Spool;
  readonly store: Pick<HeldSourceStore, 'openRuns'>;
  readonly sourceReader: Pick<SourceReader, 'isOurs'>;
  readonly log: SourceLog;
}

/** Brings a source onto our disk, into a file of that owner. */
export type Fetch = (
  owner: string,
  report: ReportProgress,
  signal: AbortSignal,
) => Promise<AcquiredSource>;

/** Which source: of what run, for which of its workflow's inputs. */
interface SourceKey {
  readonly runId: string;
  readonly input: string;
}

export interface Wish {
  readonly wantsSha256: boolean;
  readonly report: ReportProgress;
  readonly signal: AbortSignal;
}

/**
 * Sources that were read from clients' links stay on our disk until their run has ended: the links may be
 * dead by the next attempt. A gateway that starts takes over what dead ones have kept on its disk.
 */
export class KeptSources implements AsyncDisposable {
  readonly #parts: KeptSourcesParts;
  /** By the run and its input. */
  readonly #transfers = new Map<string, Map<string, SharedTransfer>>();
  /** The runs of attempts that need their files at this moment, by the attempt. */
  readonly #users = new Map<string, string>();
  /** By the run whose files go. */
  readonly #removals = new Map<string, Promise<void>>();

  constructor(parts: KeptSourcesParts) {
    this.#parts = parts;
  }

  /** Takes over what dead gateways have left on this disk for runs that have not ended. */
  async adopt(): Promise<void> {
    const { spool, store, log } = this.#parts;
    const files = await spool.adopt();
    const open = await store.openRuns(files.map(({ owner }) => owner));
    for (const { owner, name, path, note } of files) {
      const source = { path, ...note, checked: Promise.resolve() };
      this.#transfersOf(owner).set(name, new SharedTransfer(async () => source));
    }
    const ended = files.filter(({ owner }) => !open.has(owner));
    for (const { owner } of ended) this.#drop(owner);
    if (files.length > ended.length) log.adopted(files.length - ended.length);
  }

  /**
   * A source of the claimed run, as it is here or as it comes; `fetch` is called where nobody has begun with
   * it. What lies in our own store can be read again at will, and is fetched for this attempt alone.
   *
   * @throws what `fetch` throws; the signal's reason.
   */
  async get(
    claim: Claim,
    { input, url }: Source,
    wish: Wish,
    fetch: Fetch,
  ): Promise<AcquiredSource> {
    const { run, attempt } = claim;
    if (this.#parts.sourceReader.isOurs(url)) {
      return await fetch(attempt.id, wish.report, wish.signal);
    }
    this.#users.set(attempt.id, run.id);
    const key = { runId: run.id, input };
    const transfer = this.#transfersOf(run.id).get(input) ?? this.#begin(key, fetch);
    const source = await transfer.join(wish.report, wish.signal);
    if (transfer.isOver && !existsSync(source.path)) {
      // Somebody else has removed it.
      this.#forget(key, transfer);
      return await this.get(claim, { input, url }, wish, fetch);
    }
    if (!wish.wantsSha256 || source.sha256 !== null) return source;
    return { ...source, sha256: await sha256Of(source.path, wish.signal) };
  }

  /** The attempt needs its files no more, unless it fails: what was fetched for it alone goes. */
  async release({ attempt }: Claim): Promise<void> {
    const { spool } = this.#parts;
    if (this.#users.delete(attempt.id)) spool.changed();
    await spool.clear(attempt.id);
  }

  /** Waits until a file may be begun for the owner: what no attempt needs at present makes room for it. */
  async room(owner: string, signal: AbortSignal): Promise<void> {
    await this.#parts.spool.room(owner, signal, () => this.#pushOut());
  }

  /** A move of this gateway has been committed. */
  readonly hear = ({ run }: Pick<Happening, 'run'>): void => {
    if (hasEnded(run.state)) this.#drop(run.id);
  };

  /** Another gateway has canceled the run, or it has joined another one. */
  readonly ended = (runId: string): void => void this.#drop(runId);

  /** Lets go of what runs needed that have ended elsewhere. */
  async sweep(): Promise<void> {
    const { store, log } = this.#parts;
    try {
      const held = [...this.#transfers.keys()];
      const open = await store.openRuns(held);
      for (const runId of held) if (!open.has(runId)) this.#drop(runId);
    } catch (error) {
      log.sweepFailed(error);
    }
  }

  #transfersOf(runId: string): Map<string, SharedTransfer> {
    const found = this.#transfers.get(runId);
    if (found) return found;
    const transfers = new Map<string, SharedTransfer>();
    this.#transfers.set(runId, transfers);
    return transfers;
  }

  #begin(key: SourceKey, fetch: Fetch): SharedTransfer {
    const transfer = new SharedTransfer(async (report, signal) => {
      await this.#removals.get(key.runId);
      const source = await fetch(key.runId, report, signal);
      const checked = source.checked.then(() => this.#keep(key, source));
      checked.catch(() => this.#forget(key, transfer));
      return { ...source, checked };
    });
    transfer.source.catch(() => this.#forget(key, transfer));
    this.#transfersOf(key.runId).set(key.input, transfer);
    return transfer;
  }

  async #keep({ runId, input }: SourceKey, { bytes, sha256, info }: AcquiredSource): Promise<void> {
    const { spool, log } = this.#parts;
    await spool
      .keep(runId, input, { bytes, sha256, info })
      .catch((error) => log.keepFailed(runId, error));
  }

  /** It came to nothing: the next one who needs it begins anew. */
  #forget({ runId, input }: SourceKey, transfer: SharedTransfer): void {
    const transfers = this.#transfers.get(runId);
    if (transfers?.get(input) !== transfer) return;
    transfers.delete(input);
    if (transfers.size === 0) this.#transfers.delete(runId);
    this.#removing(runId, this.#parts.spool.remove(runId, input));
  }

  /** Makes room, if there is any to make: of what no attempt needs, what came last goes first. */
  #pushOut(): Promise<void> | null {
    const used = new Set(this.#users.values());
    const spare = [...this.#transfers].findLast(
      ([runId, transfers]) => !used.has(runId) && transfers.values().every(({ isOver }) => isOver),
    );
    return spare ? this.#drop(spare[0]) : null;
  }

  #drop(runId: string): Promise<void> | null {
    const transfers = this.#transfers.get(runId);
    if (!transfers) return null;
    this.#transfers.delete(runId);
    return this.#removing(runId, this.#remove(runId, [...transfers.values()]));
  }

  async #remove(runId: string, transfers: readonly SharedTransfer[]): Promise<void> {
    await Promise.all(transfers.map((transfer) => transfer.stop()));
    await this.#parts.spool.clear(runId);
  }

  #removing(runId: string, work: Promise<void>): Promise<void> {
    const before = this.#removals.get(runId);
    const removal: Promise<void> = Promise.all([before, work]).then(
      () => this.#removed(runId, removal),
      (error) => {
        this.#parts.log.removalFailed(runId, error);
        this.#removed(runId, removal);
      },
    );
    this.#removals.set(runId, removal);
    return removal;
  }

  #removed(runId: string, removal: Promise<void>): void {
    if (this.#removals.get(runId) === removal) this.#removals.delete(runId);
  }

  /** What is whole stays on the disk. */
  async [Symbol.asyncDispose](): Promise<void> {
    const transfers = [...this.#transfers.values()].flatMap((each) => [...each.values()]);
    await Promise.all(transfers.map((transfer) => transfer.stop()));
    await Promise.all(this.#removals.values());
  }
}

async function sha256Of(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash, { signal });
  return hash.digest('hex');
}
