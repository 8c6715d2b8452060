import type { Tempo } from '../core/tempo.ts';
import { pause } from '../timing/pause.ts';
import { FairTurns } from './fair-turns.ts';

/** For each place of a transfer, how many there are for those that last. */
const lastingPerPlace = 3;

/** What a transfer tells of its place. */
export interface TurnNews {
  /** It has to wait for one. */
  readonly onWaiting: () => void;
  /** It has had one for long. */
  readonly onLasting: () => void;
}

/**
 * Turns for transfers, with which those that last do not keep up the others: after a while a transfer
 * gives its place to the next and goes on in one of a second kind, as soon as one of these is free.
 */
export class TransferTurns {
  readonly #first: FairTurns;
  readonly #lasting: FairTurns;
  readonly #lastsAfterMs: number;

  constructor(places: number, { lastsAfterMs }: Pick<Tempo['transfer'], 'lastsAfterMs'>) {
    this.#first = new FairTurns(places);
    this.#lasting = new FairTurns(places * lastingPerPlace);
    this.#lastsAfterMs = lastsAfterMs;
  }

  /**
   * Does the work when its turn has come. `keys`: whose shares it keeps to, such as its tenant's.
   *
   * @throws the signal's reason while it waits; whatever `work` throws.
   */
  async run<T>(
    keys: readonly string[],
    signal: AbortSignal,
    work: () => Promise<T>,
    { onWaiting, onLasting }: Partial<TurnNews> = {},
  ): Promise<T> {
    const place = await this.#first.take(keys, signal, onWaiting);
    const over = new AbortController();
    const lastPlace = this.#changePlace(keys, place, over.signal, onLasting);
    try {
      return await work();
    } finally {
      over.abort();
      (await lastPlace)[Symbol.dispose]();
    }
  }

  /** Resolves with the place that the transfer has in the end. */
  async #changePlace(
    keys: readonly string[],
    place: Disposable,
    over: AbortSignal,
    onLasting: () => void = () => {},
  ): Promise<Disposable> {
    await pause(this.#lastsAfterMs, over);
    if (over.aborted) return place;
    onLasting();
    const lasting = await this.#lasting.take(keys, over).catch(() => null);
    if (lasting) place[Symbol.dispose]();
    return lasting ?? place;
  }
}
