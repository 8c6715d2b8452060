import { setTimeout as delay } from 'node:timers/promises';
import type { Tempo } from '../core/tempo.ts';
import type { Database } from './database.ts';
import { ownEdition } from './edition.ts';

/** Looks now and then whether a newer gateway has changed the schema. */
export class EditionWatch implements Disposable {
  /** Resolves once a newer gateway has. */
  readonly outdated: Promise<void>;
  readonly #stop = new AbortController();

  constructor(
    database: Pick<Database, 'edition'>,
    { editionCheckEveryMs }: Pick<Tempo['database'], 'editionCheckEveryMs'>,
  ) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.outdated = promise;
    void this.#look(database, editionCheckEveryMs, resolve);
  }

  async #look(
    database: Pick<Database, 'edition'>,
    periodMs: number,
    found: () => void,
  ): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      // Without the database it cannot be told; whoever needs it says so.
      const edition = await database.edition().catch(() => 0);
      if (edition > ownEdition) return found();
      await delay(periodMs, undefined, { signal, ref: false }).catch(() => {});
    }
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
  }
}
