import type { Tempo } from '../core/tempo.ts';
import { FairTurns } from './fair-turns.ts';

/** For each place of a transfer that begins, how many transfers there may be in all. */
const inAllPerPlace = 4;

/** What a transfer hears of its place. */
export interface TurnNews {
  /** It has to wait for one. */
  readonly onWaiting: () => void;
  /** It has left the place at which it began, and goes on. */
  readonly onLasting: () => void;
}

/**
 * Turns for transfers, with which those that last do not keep up the others. A transfer has two places: one
 * of few while it is new, which it leaves to the next after a while, and one of many to its end. Whoever
 * waits for one of the few waits for a while only.
 */
export class TransferTurns {
  readonly #beginning: FairTurns;
  readonly #all: FairTurns;
  readonly #lastsAfterMs: number;

  /** `places`: how many that are new there may be at once. */
  constructor(places: number, { lastsAfterMs }: Pick<Tempo['transfer'], 'lastsAfterMs'>) {
    this.#beginning = new FairTurns(places);
    this.#all = new FairTurns(places * inAllPerPlace);
    this.#lastsAfterMs = lastsAfterMs;
  }

  /**
   * Does the work when its turn has come. `tenant` is whose share it keeps to, `within` what shares that
   * with others of the tenant.
   *
   * @throws the signal's reason while it waits; whatever `work` throws.
   */
  async run<T>(
    { tenant, within = [] }: { readonly tenant: string; readonly within?: readonly string[] },
    signal: AbortSignal,
    work: () => Promise<T>,
    { onWaiting, onLasting }: Partial<TurnNews> = {},
  ): Promise<T> {
    const keys = [tenant, ...within.map((key) => `${tenant} ${key}`)];
    using _place = await this.#all.take(keys, signal, { onWaiting });
    using beginning = await this.#beginning.take([tenant], signal, { onWaiting });
    const lasts = setTimeout(() => {
      beginning[Symbol.dispose]();
      onLasting?.();
    }, this.#lastsAfterMs);
    try {
      return await work();
    } finally {
      clearTimeout(lasts);
    }
  }
}
