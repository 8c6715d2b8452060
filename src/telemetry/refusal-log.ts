import type { Logger } from './logger.ts';

/** Who was refused, by which code. */
export interface Refused {
  readonly tenant?: string;
  readonly address?: string;
  readonly code: string;
}

/** Beyond so many, those that were told of first may be told of again. */
const mostRemembered = 10_000;

const oncePerMs = 60_000;

/** Who is refused what it may not have any more: each once in a minute, however often it asks. */
export class RefusalLog {
  readonly #logger: Logger;
  readonly #loggedAt = new Map<string, number>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** `limit`: of what it has had enough. */
  refused(who: Refused, limit: string, message: string): void {
    const name = JSON.stringify([who, limit]);
    const now = performance.now();
    if (now - (this.#loggedAt.get(name) ?? Number.NEGATIVE_INFINITY) < oncePerMs) return;
    this.#loggedAt.delete(name);
    this.#loggedAt.set(name, now);
    const [first] = this.#loggedAt.keys();
    if (this.#loggedAt.size > mostRemembered && first !== undefined) this.#loggedAt.delete(first);
    this.#logger.info({ ...who, limit, message }, 'request.refused');
  }
}
