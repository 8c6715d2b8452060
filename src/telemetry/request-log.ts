import type { ErrorCode } from '../core/errors.ts';
import type { Logger } from './logger.ts';

/** A request that was answered, or broken off. */
export interface AnsweredRequest {
  /** Its id: the client's own where it sent one. */
  readonly request: string;
  readonly method: string;
  /** Without secrets: of the route as it is written, with the ids of tasks; `null`: no route was asked. */
  readonly path: string | null;
  readonly dialect?: string;
  readonly tenant?: string;
  readonly status: number;
  /** Of the error that it was answered with. */
  readonly code?: ErrorCode;
  readonly ms: number;
  /** The client left before the end of the answer. */
  readonly cut?: true;
}

/** One line for each request. */
export class RequestLog {
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** `isQuiet`: it comes every few seconds, or as often as somebody without a key likes. */
  answered(request: AnsweredRequest, isQuiet: boolean): void {
    this.#logger[isQuiet ? 'debug' : 'info'](request, 'request.answered');
  }
}
