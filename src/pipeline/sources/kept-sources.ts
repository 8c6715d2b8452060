import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { Claim } from '../../core/attempt.ts';
import { GatewayError } from '../../core/errors.ts';
import type { StoredSource } from '../../core/source-note.ts';
import { hasEnded, type Source } from '../../core/task.ts';
import type { KeptFile, Spool } from '../../media/spool.ts';
import type { Happening } from '../../tasks/door.ts';
import type { HeldSourceStore, SourceKey } from '../../tasks/held-source-store.ts';
import type { SourceLog } from '../../telemetry/source-log.ts';
import type { ReportProgress } from '../attempt-journal.ts';
import type { AcquiredSource } from '../download/acquire-source.ts';
import type { SourceReader } from '../download/source-reader.ts';
import { SharedTransfer } from './shared-transfer.ts';
import { nowhere, type SourceCopies } from './source-copies.ts';

export interface KeptSourcesParts {
  readonly spool: Spool;
  readonly held: Pick<HeldSourceStore, 'openRuns'>;
  readonly copies: Pick<
    SourceCopies,
    'areWanted' | 'locate' | 'publish' | 'remove' | 'sweep' | 'wasRead'
  >;
  readonly sourceReader: Pick<SourceReader, 'isOurs'>;
  readonly log: SourceLog;
}

/** How a source comes onto our disk. */
export interface Transfer {
  /** Whose file it is in the spool. */
  readonly owner: string;
  /** What the object store has of it; `null` where its address has to be read. */
  readonly stored: StoredSource | null;
  readonly report: ReportProgress;
  readonly signal: AbortSignal;
}

export type Fetch = (transfer: Transfer) => Promise<AcquiredSource>;

export interface Wish {
  readonly wantsSha256: boolean;
  readonly report: ReportProgress;
  readonly signal: AbortSignal;
}

/**
 * Sources that were read from clients' links stay on our disk until their run has ended: the links may be
 * dead by the next attempt. Other gateways find them in the object store, or on this disk when this one is
 * no more.
 */
export class KeptSources implements AsyncDisposable {
  readonly #parts: KeptSourcesParts;
  /** By the run and its input. */
  readonly #transfers = new Map<string, Map<string, SharedTransfer>>();
  /** The runs of attempts that need their files at this moment, by the attempt. */
  readonly #users = new Map<string, string>();
  /** By the run whose files go. */
  readonly #removals = new Map<string, Promise<void>>();
  /** Runs of which others may have been told. */
  readonly #shared = new Set<string>();
  /** The last round of taking over. */
  #adoption: Promise<void> = Promise.resolve();

  constructor(parts: KeptSourcesParts) {
    this.#parts = parts;
    parts.spool.onFull(() => this.#pushOut());
  }

  /**
   * Takes over what dead gateways have left on this disk for runs that have not ended. One round comes after the
   * other: the file that the second one needs may be on its way by the first.
   */
  async adopt(): Promise<void> {
    const adoption = this.#adoption.then(() => this.#adopt());
    this.#adoption = adoption.catch(() => {});
    await adoption;
  }

  async #adopt(): Promise<void> {
    const { spool, held, log } = this.#parts;
    const files = await spool.adopt();
    if (files.length === 0) return;
    for (const file of files) {
      const transfers = this.#transfersOf(file.owner);
      // Who has begun with it finds the file.
      if (!transfers.has(file.name)) {
        transfers.set(file.name, new SharedTransfer(async () => sourceOf(file)));
      }
    }
    const open = await held.openRuns(files.map(({ owner }) => owner));
    const ended = files.filter(({ owner }) => !open.has(owner));
    for (const { owner } of ended) this.ended(owner);
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
      const { report, signal } = wish;
      return await fetch({ owner: attempt.id, stored: null, report, signal });
    }
    this.#users.set(attempt.id, run.id);
    const key = { runId: run.id, input };
    const transfer = this.#transfersOf(run.id).get(input) ?? this.#begin(key, claim, fetch);
    const source = await transfer.join(wish.report, wish.signal);
    if (!existsSync(source.path)) {
      // Somebody else has removed it.
      this.#forget(key, transfer);
      return await this.get(claim, { input, url }, wish, fetch);
    }
    if (!wish.wantsSha256 || source.sha256 !== null) return source;
    return { ...source, sha256: await sha256Of(source.path, wish.signal) };
  }

  /** A link of a run that waits, as it is here or as it comes: whoever claims the run here joins that. */
  async getAhead(key: SourceKey, wish: Wish, fetch: Fetch): Promise<AcquiredSource> {
    this.#shared.add(key.runId);
    const transfer = this.#transfersOf(key.runId).get(key.input) ?? this.#begin(key, null, fetch);
    return await transfer.join(wish.report, wish.signal);
  }

  /** The attempt needs its files no more, unless it fails: what was fetched for it alone goes. */
  async release({ attempt }: Claim): Promise<void> {
    const { spool } = this.#parts;
    if (this.#users.delete(attempt.id)) spool.changed();
    await spool.clear(attempt.id);
  }

  /** A move of this gateway has been committed. */
  readonly hear = ({ run }: Pick<Happening, 'run'>): void => {
    if (hasEnded(run.state)) this.ended(run.id);
  };

  /** The run has ended, or its tasks have joined another one: nobody needs its sources. */
  readonly ended = (runId: string): void => {
    const isShared = this.#shared.delete(runId);
    this.#drop(runId);
    if (isShared) this.#removing(runId, () => this.#parts.copies.remove(runId));
  };

  /** Another gateway needs what this one may have. */
  readonly wanted = (runId: string): void => {
    for (const [input, transfer] of this.#transfers.get(runId) ?? []) {
      void this.#publish({ runId, input }, transfer);
    }
  };

  /** Lets others have what this gateway holds for runs that have not ended, as far as there is time. */
  async handOver(graceMs: number): Promise<void> {
    const graceOver = AbortSignal.timeout(graceMs);
    const all = [...this.#transfers].flatMap(([runId, transfers]) =>
      [...transfers].flatMap(([input, transfer]) =>
        transfer.isWhole ? this.#publish({ runId, input }, transfer, graceOver) : [],
      ),
    );
    await Promise.all(all);
  }

  /** Lets go of what runs needed that have ended elsewhere, and of what gateways left that have died since. */
  async sweep(): Promise<void> {
    const { held, copies, log } = this.#parts;
    try {
      await this.adopt();
      const ids = [...this.#transfers.keys()];
      const open = await held.openRuns(ids);
      for (const runId of ids) if (!open.has(runId)) this.ended(runId);
      await copies.sweep();
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

  #begin(key: SourceKey, claim: Claim | null, fetch: Fetch): SharedTransfer {
    const { copies } = this.#parts;
    const transfer = new SharedTransfer(async (report, signal) => {
      await this.#removals.get(key.runId);
      const source = await this.#fetch(key, claim, fetch, report, signal);
      const checked = source.checked.then(() => this.#keep(key, source));
      checked.catch(() => this.#forget(key, transfer));
      return { ...source, checked };
    });
    transfer.source.catch(() => this.#forget(key, transfer));
    this.#transfersOf(key.runId).set(key.input, transfer);
    void this.#settle(key, transfer);
    if (copies.areWanted) void this.#publish(key, transfer);
    return transfer;
  }

  /** From where it is: the store, the disk of a dead gateway, or its address. */
  async #fetch(
    key: SourceKey,
    claim: Claim | null,
    fetch: Fetch,
    report: ReportProgress,
    signal: AbortSignal,
  ): Promise<AcquiredSource> {
    const { copies, spool, log } = this.#parts;
    const owner = key.runId;
    const wasBegun = claim !== null && wasBegunBefore(claim);
    // Most runs are begun once, and nobody has their sources: then there is nothing to look for.
    const isAnywhere = wasBegun || claim?.run.isUnread === false;
    const { stored, isLeft } = isAnywhere ? await copies.locate(key, wasBegun, signal) : nowhere;
    if (stored || isLeft) this.#shared.add(key.runId);
    // A gateway that was alone has told nobody of what it had, and may have had it on this disk.
    if (isLeft || (wasBegun && !stored)) {
      await this.adopt();
      const file = await spool.kept(owner, key.input);
      if (file) return sourceOf(file);
    }
    if (stored) {
      try {
        return await fetch({ owner, stored, report, signal });
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof GatewayError && error.code === 'spool_full') throw error;
        log.copyLost(key.runId, error);
        await spool.remove(owner, key.input);
      }
    }
    return await this.#read(key, () => fetch({ owner, stored: null, report, signal }));
  }

  /** Reads the link, and blames nobody for one that was good when we had what it gave. */
  async #read(key: SourceKey, read: () => Promise<AcquiredSource>): Promise<AcquiredSource> {
    try {
      return await read();
    } catch (error) {
      const isOfLink = error instanceof GatewayError && error.code.startsWith('source_');
      if (!isOfLink || !(await this.#parts.copies.wasRead(key).catch(() => false))) throw error;
      throw new GatewayError(error.code, `${error.message}. ${lostCopy}`, { cause: error });
    }
  }

  async #publish(
    key: SourceKey,
    transfer: SharedTransfer,
    graceOver: AbortSignal | null = null,
  ): Promise<void> {
    this.#shared.add(key.runId);
    await this.#use(transfer, async (source, signal) => {
      const until = graceOver ? AbortSignal.any([signal, graceOver]) : signal;
      await this.#parts.copies.publish(key, source, until);
    });
  }

  /** A disk may take long: no attempt waits for that. */
  async #settle({ runId, input }: SourceKey, transfer: SharedTransfer): Promise<void> {
    const { spool, log } = this.#parts;
    await this.#use(transfer, async () => {
      await spool.settle(runId, input).catch((error) => log.keepFailed(runId, error));
    });
  }

  async #use(transfer: SharedTransfer, work: Parameters<SharedTransfer['use']>[0]): Promise<void> {
    await transfer.use(work);
    // Room may be made of it from now on.
    this.#parts.spool.changed();
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
    this.#removing(runId, () => this.#parts.spool.remove(runId, input));
  }

  /** Makes room, if there is any to make: of what no attempt needs, what came last goes first. */
  #pushOut(): Promise<void> | null {
    const used = new Set(this.#users.values());
    const spare = [...this.#transfers].findLast(
      ([runId, transfers]) =>
        !used.has(runId) && transfers.values().every(({ isAtRest }) => isAtRest),
    );
    return spare ? this.#moveOut(...spare) : null;
  }

  /** Moves what is here of the run into the store, where the next attempt finds it. What that refuses is lost. */
  async #moveOut(runId: string, transfers: ReadonlyMap<string, SharedTransfer>): Promise<void> {
    const published = [...transfers].map(([input, transfer]) =>
      this.#publish({ runId, input }, transfer),
    );
    await Promise.all(published);
    // An attempt may have come for it meanwhile.
    if (!new Set(this.#users.values()).has(runId)) await this.#drop(runId);
  }

  /** Removes what is here of the run. */
  #drop(runId: string): Promise<void> | null {
    const transfers = this.#transfers.get(runId);
    if (!transfers) return null;
    this.#transfers.delete(runId);
    return this.#removing(runId, async () => {
      await Promise.all(transfers.values().map((transfer) => transfer.stop()));
      await this.#parts.spool.clear(runId);
    });
  }

  /** One removal of a run comes after the other. */
  #removing(runId: string, work: () => Promise<void>): Promise<void> {
    const { log } = this.#parts;
    const removal: Promise<void> = (this.#removals.get(runId) ?? Promise.resolve())
      .then(work)
      .catch((error) => log.removalFailed(runId, error))
      .finally(() => {
        if (this.#removals.get(runId) === removal) this.#removals.delete(runId);
      });
    this.#removals.set(runId, removal);
    return removal;
  }

  /** What is whole stays on the disk. */
  async [Symbol.asyncDispose](): Promise<void> {
    const transfers = [...this.#transfers.values()].flatMap((each) => [...each.values()]);
    await Promise.all(transfers.map((transfer) => transfer.stop()));
    await Promise.all(this.#removals.values());
  }
}

const lostCopy = 'It was read before; the gateway has lost its copy and had to read it again';

/** Whether an attempt of the run was begun before this one, counted or not. */
function wasBegunBefore({ task: { startedAt, updatedAt } }: Claim): boolean {
  return startedAt?.getTime() !== updatedAt.getTime();
}

function sourceOf({ path, note }: KeptFile): AcquiredSource {
  return { path, ...note, sent: null, checked: Promise.resolve() };
}

async function sha256Of(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash, { signal });
  return hash.digest('hex');
}
