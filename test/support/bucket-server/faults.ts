import type { IncomingMessage } from 'node:http';

/** What goes wrong with a request. */
export type Fault =
  /** An answer instead of the work. */
  | { readonly kind: 'answer'; readonly status: number; readonly code: string }
  /** The connection is reset after so many bytes of the body. */
  | { readonly kind: 'reset'; readonly afterBytes: number }
  /** The body is no longer read after so many bytes, and nothing is answered. */
  | { readonly kind: 'stall'; readonly afterBytes: number }
  /** The body is read at this speed. */
  | { readonly kind: 'slow'; readonly bytesPerSecond: number }
  /** One bit of the body is stored wrong. */
  | { readonly kind: 'corrupt' }
  /** The work is done, but the answer comes so much later. */
  | { readonly kind: 'late'; readonly ms: number }
  /** The work is done, but the connection is cut instead of answered. */
  | { readonly kind: 'swallow' };

export interface RequestView {
  readonly method: string;
  readonly key: string;
  readonly query: URLSearchParams;
}

interface Rule {
  readonly fault: Fault;
  readonly matches: (request: RequestView) => boolean;
  remaining: number;
}

/** The faults that wait for their requests. */
export class Faults {
  readonly #rules: Rule[] = [];

  add(fault: Fault, times: number, matches: (request: RequestView) => boolean): void {
    this.#rules.push({ fault, matches, remaining: times });
  }

  clear(): void {
    this.#rules.length = 0;
  }

  take(request: RequestView): Fault | null {
    const rule = this.#rules.find((each) => each.remaining > 0 && each.matches(request));
    if (!rule) return null;
    rule.remaining -= 1;
    return rule.fault;
  }
}

/** The body as the fault lets it through. */
export async function* faultyBody(
  request: IncomingMessage,
  fault: Fault | null,
): AsyncGenerator<Buffer> {
  const { socket } = request;
  let received = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    if (fault?.kind === 'corrupt' && received === 0) chunk[0] = (chunk[0] ?? 0) ^ 1;
    received += chunk.length;
    if (fault?.kind === 'reset' && received > fault.afterBytes) {
      socket.resetAndDestroy();
      throw new Error('The connection was reset');
    }
    if (fault?.kind === 'stall' && received > fault.afterBytes) {
      await new Promise((resolve) => socket.once('close', resolve));
      throw new Error('The request was given up');
    }
    if (fault?.kind === 'slow') {
      await new Promise((resolve) =>
        setTimeout(resolve, (chunk.length / fault.bytesPerSecond) * 1e3),
      );
    }
    yield chunk;
  }
}
