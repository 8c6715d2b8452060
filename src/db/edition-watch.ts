import type { Tempo } from '../core/tempo.ts';
import { every } from '../timing/every.ts';
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
    const look = async (): Promise<void> => {
      if ((await database.edition()) <= ownEdition) return;
      this.#stop.abort();
      resolve();
    };
    // Without the database it cannot be told; whoever needs it says so.
    void every(editionCheckEveryMs, this.#stop.signal, look, { onError: () => {} });
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
  }
}
