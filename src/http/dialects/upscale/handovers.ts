import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** An answer with a body, before any of it is written. */
export interface Sending {
  readonly outgoing: ServerResponse;
  /** Of the body. */
  readonly bytes: number;
  /** Once the client has the whole of it. What is thrown is dropped. */
  readonly done: () => Promise<void>;
}

/**
 * Answers on their way to clients, each with what is to be done once its client has the whole of it.
 *
 * That an answer was sent does not say so: the system takes some megabytes from us before the client
 * has read any (3 MB over loopback were sent in 20 ms to a client that had read 64 KB). What happens to
 * the connection next tells more: a client that goes away with bytes unread resets it (RFC 2525 §2.17),
 * one that has read them closes it, or asks for something else.
 */
export class Handovers {
  readonly #underWay = new Map<string, Set<Handover>>();
  readonly #quietMs: number;

  /**
   * A client that neither goes on nor away for `quietMs` after the last byte was sent is taken to have
   * them all. Node closes a silent connection after 5 s; what comes later is not heard.
   */
  constructor(quietMs: number) {
    this.#quietMs = quietMs;
  }

  /**
   * Where the client wants its connection closed, the answer has to say `Connection: keep-alive` all the
   * same: otherwise Node would close both ways at once, and nothing more be heard of the client.
   */
  watch(id: string, sending: Sending): void {
    const handover = new Handover(sending, this.#quietMs);
    const ofSameId = this.#underWay.get(id) ?? new Set();
    this.#underWay.set(id, ofSameId.add(handover));
    void handover.ended.then(() => {
      ofSameId.delete(handover);
      if (ofSameId.size === 0 && this.#underWay.get(id) === ofSameId) this.#underWay.delete(id);
    });
  }

  /**
   * A request for the same came in on this connection. When this returns, what was sent before has
   * arrived, and is done, or has not. What is still being sent is not waited for, nor is a client that
   * reads no more.
   */
  async settle(id: string, socket: Socket): Promise<void> {
    const sent = [...(this.#underWay.get(id) ?? [])].filter(({ isSent }) => isSent);
    if (sent.length === 0) return;
    for (const handover of sent) handover.hear(socket);
    const patience = new AbortController();
    const options = { signal: patience.signal, ref: false };
    // What was sent may come to its end only now, and is judged a quiet while after that.
    const isOver = delay(2 * this.#quietMs, true, options);
    await Promise.all(
      sent.map(async ({ judged, ended }) => {
        const isLate = await Promise.race([judged.then(() => false), isOver]);
        if (!isLate) await ended;
      }),
    );
    patience.abort();
  }
}

class Handover {
  /** Resolves when it is known whether the client has the answer. */
  readonly judged: Promise<boolean>;
  /** Resolves when nothing more comes of it. */
  readonly ended: Promise<void>;
  readonly #sending: Sending;
  readonly #quietMs: number;
  readonly #socket: Socket | null;
  /** Bytes that had gone through the connection before. */
  readonly #before: number;
  /** Whether the client wants to go on; the answer's own header says so in any case. */
  readonly #goesOn: boolean;
  readonly #heard = Promise.withResolvers<void>();

  constructor(sending: Sending, quietMs: number) {
    this.#quietMs = quietMs;
    const { socket, shouldKeepAlive } = sending.outgoing;
    this.#sending = sending;
    this.#socket = socket;
    this.#before = socket?.bytesWritten ?? 0;
    this.#goesOn = shouldKeepAlive;
    this.judged = this.#judge();
    this.ended = this.#end().catch(() => {});
  }

  /**
   * Whether nothing more is to be written. A client that counts bytes may go on, or away, before we have
   * come to know that ourselves.
   */
  get isSent(): boolean {
    // More than the body by the head of the answer, whose length is not told.
    const written = (this.#socket?.bytesWritten ?? 0) - this.#before;
    return written > this.#sending.bytes;
  }

  /** Whoever sends another request on the connection has read what was sent before. */
  hear(socket: Socket): void {
    if (socket === this.#socket) this.#heard.resolve();
  }

  async #end(): Promise<void> {
    if (await this.judged) await this.#sending.done();
  }

  /** What breaks off has not arrived. */
  async #judge(): Promise<boolean> {
    const socket = this.#socket;
    return socket !== null && (await this.#arrives(socket).catch(() => false));
  }

  /** It throws where it does not. */
  async #arrives(socket: Socket): Promise<boolean> {
    const { outgoing } = this.#sending;
    await once(outgoing, 'close');
    if (socket.errored) return false;
    if (!outgoing.writableFinished) return socket.readableEnded && this.isSent;
    if (socket.readableEnded || socket.destroyed) return true;
    // What we have to say is said; what the client has to say we still hear (RFC 9112 §9.6).
    if (!this.#goesOn) socket.end();
    const watch = new AbortController();
    const { signal } = watch;
    try {
      // A reset is an `error`, which rejects.
      await Promise.race([
        once(socket, 'end', { signal }),
        this.#heard.promise,
        delay(this.#quietMs, undefined, { signal, ref: false }),
      ]);
      return true;
    } finally {
      watch.abort();
    }
  }
}
