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
  readonly #toldAt = new Map<string, number>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** `limit`: of what it has had enough. */
  refused(who: Refused, limit: string, message: string): void {
    const name = JSON.stringify([who, limit]);
    const now = performance.now();
    if (now - (this.#toldAt.get(name) ?? Number.NEGATIVE_INFINITY) < oncePerMs) return;
    this.#toldAt.delete(name);
    this.#toldAt.set(name, now);
    const [first] = this.#toldAt.keys();
    if (this.#toldAt.size > mostRemembered && first !== undefined) this.#toldAt.delete(first);
    this.#logger.info({ ...who, limit, message }, 'request.refused');
  }
}
