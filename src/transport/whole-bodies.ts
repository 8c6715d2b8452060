import type { Dispatcher } from 'undici';

type Handler = Required<Dispatcher.DispatchHandler>;

/**
 * For `Dispatcher.compose`: a body that has come in full ends in order, whatever becomes of its connection then.
 *
 * undici 8.12 does not know that a body is over while its reader is behind. A server that closes the connection at that
 * moment, and did not announce it, makes it fail with “other side closed”.
 */
export const wholeBodies: Dispatcher.DispatcherComposeInterceptor =
  (dispatch) => (options, handler) =>
    dispatch(options, new WholeBody(handler));

class WholeBody implements Dispatcher.DispatchHandler {
  readonly #handler: Dispatcher.DispatchHandler;
  /** Bytes that are still to come; `null` where the server does not tell. */
  #leftBytes: number | null = null;

  constructor(handler: Dispatcher.DispatchHandler) {
    this.#handler = handler;
  }

  onRequestStart(...args: Parameters<Handler['onRequestStart']>): void {
    this.#handler.onRequestStart?.(...args);
  }

  onRequestUpgrade(...args: Parameters<Handler['onRequestUpgrade']>): void {
    this.#handler.onRequestUpgrade?.(...args);
  }

  onResponseStart(...args: Parameters<Handler['onResponseStart']>): void {
    const [, , { 'content-length': length }] = args;
    this.#leftBytes = length === undefined ? null : Number(length);
    this.#handler.onResponseStart?.(...args);
  }

  onResponseData(...args: Parameters<Handler['onResponseData']>): void {
    const [, chunk] = args;
    if (this.#leftBytes !== null) this.#leftBytes -= chunk.length;
    this.#handler.onResponseData?.(...args);
  }

  onResponseEnd(...args: Parameters<Handler['onResponseEnd']>): void {
    this.#handler.onResponseEnd?.(...args);
  }

  onResponseError(...[controller, error]: Parameters<Handler['onResponseError']>): void {
    const isWhole = this.#leftBytes === 0 && !controller.aborted;
    if (isWhole) this.#handler.onResponseEnd?.(controller, {});
    else this.#handler.onResponseError?.(controller, error);
  }
}
