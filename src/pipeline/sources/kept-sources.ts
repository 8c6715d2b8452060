import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { Claim } from '../../core/attempt.ts';
import { GatewayError } from '../../core/errors.ts';
import type { Run } from '../../core/run.ts';
import type { StoredSource } from '../../core/source-note.ts';
import { hasEnded, type Source } from '../../core/task.ts';
import { untilAborted } from '../../core/until-aborted.ts';
import { isPassing, isRefusal } from '../../media/source-errors.ts';
import type { KeptFile, Spool } from '../../media/spool.ts';
import type { Happening } from '../../tasks/door.ts';
import type { HeldSourceStore, SourceKey } from '../../tasks/held-source-store.ts';
import type { SourceLog } from '../../telemetry/source-log.ts';
import type { ReportProgress } from '../attempt-journal.ts';
import type { AcquiredSource } from '../download/acquire-source.ts';
import type { SourceReader } from '../download/source-reader.ts';
import { type Passage, SharedTransfer } from './shared-transfer.ts';
import { nowhere, type SourceCopies } from './source-copies.ts';

export interface KeptSourcesParts {
  readonly spool: Spool;
  readonly held: Pick<HeldSourceStore, 'openRuns'>;
  readonly copies: Pick<
    SourceCopies,
    'announce' | 'areWanted' | 'locate' | 'publish' | 'readingOf' | 'remove' | 'sweep'
  >;
  readonly sourceReader: Pick<SourceReader, 'isOurs'>;
  readonly log: SourceLog;
}

/** How a source comes onto our disk. */
export interface Transfer extends Pick<Passage, 'report' | 'signal'> {
  /** Comes before the link is read; does not resolve where that would be broken off, as the gateway is to stop. */
  readonly begin: () => Promise<void>;
  /** Whose file it is in the spool. */
  readonly owner: string;
  /** What the object store has of it; `null` where its address has to be read. */
  readonly stored: StoredSource | null;
}

export type Fetch = (transfer: Transfer) => Promise<AcquiredSource>;

/** What is known of a source that is not here. */
interface Past {
  /** Whether some gateway may have begun to read it, and left no record. */
  readonly mayBeBegun: boolean;
  /** Whether there may be a record of it. */
  readonly mayBeTold: boolean;
}

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
  /** What is on its way into the store, or is going to be. */
  readonly #publishing = new Set<SharedTransfer>();
  /** Runs of which others may have been told. */
  readonly #shared = new Set<string>();
  /** No link is begun any more. */
  #isFinishing = false;
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
      return await fetch({
        owner: attempt.id,
        stored: null,
        begin: async () => {},
        report,
        signal,
      });
    }
    this.#users.set(attempt.id, run.id);
    const key = { runId: run.id, input };
    const mayBeBegun = wasBegunBefore(claim);
    // Most runs are begun once, and nobody has their sources: then there is nothing to look for.
    const past = { mayBeBegun, mayBeTold: mayBeBegun || !run.isUnread };
    const transfer = this.#transfersOf(run.id).get(input) ?? this.#begin(key, past, fetch);
    const source = await transfer.join(wish.report, wish.signal);
    if (!existsSync(source.path)) {
      // Somebody else has removed it.
      this.#forget(key, transfer);
      return await this.get(claim, { input, url }, wish, fetch);
    }
    if (!wish.wantsSha256 || source.sha256 !== null) return source;
    return { ...source, sha256: await sha256Of(source.path, wish.signal) };
  }

  /**
   * A link of a run that waits, as it is here or as it comes: whoever claims the run here joins that. `mayBeBegun`:
   * some gateway may have begun to read it before.
   */
  async getAhead(
    key: SourceKey,
    mayBeBegun: boolean,
    wish: Wish,
    fetch: Fetch,
  ): Promise<AcquiredSource> {
    this.#shared.add(key.runId);
    const past = { mayBeBegun, mayBeTold: mayBeBegun };
    const transfer = this.#transfersOf(key.runId).get(key.input) ?? this.#begin(key, past, fetch);
    return await transfer.join(wish.report, wish.signal);
  }

  /** Resolves when nothing is read for the run at this moment. */
  async atRest(runId: string): Promise<void> {
    await Promise.all(this.#begunOf(runId).map(([, transfer]) => transfer.over()));
  }

  /** What is here of the run's links, by the input: those with one address have one file. */
  async filesOf({ id, sources }: Run): Promise<ReadonlyMap<string, AcquiredSource>> {
    const files = new Map<string, AcquiredSource>();
    for (const { input, url } of sources) {
      const found = sources
        .filter((other) => other.url === url)
        .map((other) => this.#transfers.get(id)?.get(other.input))
        .find((each) => each?.isWhole);
      if (found) files.set(input, await found.source);
    }
    return files;
  }

  /** Gives another run these files, by the input that they are for. */
  async lend(files: ReadonlyMap<string, AcquiredSource>, runId: string): Promise<void> {
    const lent = [...files].map(([input, { path, bytes, sha256, info }]) => {
      const note = { bytes, sha256, info };
      const transfer = new SharedTransfer(async () =>
        sourceOf(await this.#parts.spool.lend({ path, note }, runId, input)),
      );
      transfer.source.catch(() => this.#forget({ runId, input }, transfer));
      this.#transfersOf(runId).set(input, transfer);
      return transfer.over();
    });
    await Promise.all(lent);
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

  /** Another gateway needs what this one may have, and says so again and again. */
  readonly wanted = (runId: string): void => {
    for (const [input, transfer] of this.#transfers.get(runId) ?? []) {
      const key = { runId, input };
      if (transfer.isBegun && !transfer.isWhole) void this.#parts.copies.announce(key);
      if (!this.#publishing.has(transfer)) void this.#publish(key, transfer);
    }
  };

  /**
   * Begins no link any more, and reads what is begun to its end, as far as there is time. `isShared`: others can have
   * that, and what is here already.
   */
  async finish(graceMs: number, isShared: boolean): Promise<void> {
    this.#isFinishing = true;
    const graceOver = AbortSignal.timeout(graceMs);
    const all = [...this.#transfers.keys()].flatMap((runId) =>
      this.#begunOf(runId).map(([input, transfer]) =>
        isShared ? this.#publish({ runId, input }, transfer, graceOver) : transfer.over(),
      ),
    );
    await untilAborted(Promise.all(all), graceOver).catch(() => {});
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

  /** What was read for the run, or is, by the input. */
  #begunOf(runId: string): [input: string, transfer: SharedTransfer][] {
    return [...(this.#transfers.get(runId) ?? [])].filter(([, { isBegun }]) => isBegun);
  }

  #begin(key: SourceKey, past: Past, fetch: Fetch): SharedTransfer {
    const { copies } = this.#parts;
    const transfer = new SharedTransfer(async (passage) => {
      await this.#removals.get(key.runId);
      const source = await this.#fetch(key, past, fetch, passage);
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
    { mayBeBegun, mayBeTold }: Past,
    fetch: Fetch,
    { report, onBegun, signal }: Passage,
  ): Promise<AcquiredSource> {
    const { copies, spool, log } = this.#parts;
    const begin = async () => {
      if (this.#isFinishing) await aborted(signal);
      onBegun();
    };
    const transfer = { begin, report, signal };
    const owner = key.runId;
    const { stored, isLeft } = mayBeTold ? await copies.locate(key, mayBeBegun, signal) : nowhere;
    if (stored || isLeft) this.#shared.add(key.runId);
    // A gateway that was alone has told nobody of what it had, and may have had it on this disk.
    if (isLeft || (mayBeBegun && !stored)) {
      await this.adopt();
      const file = await spool.kept(owner, key.input);
      if (file) return sourceOf(file);
    }
    if (stored) {
      try {
        return await fetch({ owner, stored, ...transfer });
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof GatewayError && error.code === 'spool_full') throw error;
        log.copyLost(key.runId, error);
        await spool.remove(owner, key.input);
      }
    }
    return await this.#read(key, mayBeBegun, () => fetch({ owner, stored: null, ...transfer }));
  }

  /** Reads the link, and blames nobody for one that is good for one reading, which was ours. */
  async #read(
    key: SourceKey,
    mayBeBegun: boolean,
    read: () => Promise<AcquiredSource>,
  ): Promise<AcquiredSource> {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      const isRefused = isRefusal(error);
      // What else is wrong is wrong with the file, whoever has read it before.
      if (!isRefused && !isPassing(error)) throw error;
      const reading = await this.#parts.copies.readingOf(key, mayBeBegun).catch(() => 'never');
      if (reading === 'never') throw error;
      const why = reading === 'whole' ? lostCopy : brokeOff;
      const { message, detail } = error;
      const code = isRefused ? 'source_lost' : error.code;
      throw new GatewayError(code, `${message}. ${why}`, { cause: error, detail });
    }
  }

  async #publish(
    key: SourceKey,
    transfer: SharedTransfer,
    graceOver: AbortSignal | null = null,
  ): Promise<void> {
    this.#shared.add(key.runId);
    this.#publishing.add(transfer);
    await this.#use(transfer, async (source, signal) => {
      const until = graceOver ? AbortSignal.any([signal, graceOver]) : signal;
      await this.#parts.copies.publish(key, source, until);
    });
    this.#publishing.delete(transfer);
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
const brokeOff = 'The gateway had begun to read it before, and broke off';

/** Whether an attempt of the run was begun before this one, counted or not. */
function wasBegunBefore({ task: { startedAt, updatedAt } }: Claim): boolean {
  return startedAt?.getTime() !== updatedAt.getTime();
}

/** @throws the signal's reason, when it aborts. */
async function aborted(signal: AbortSignal): Promise<never> {
  return await untilAborted(Promise.withResolvers<never>().promise, signal);
}

function sourceOf({ path, note }: KeptFile): AcquiredSource {
  return { path, ...note, checked: Promise.resolve() };
}

async function sha256Of(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash, { signal });
  return hash.digest('hex');
}
