import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Caller } from '../core/caller.ts';

/** A request to make its connection a WebSocket. */
export interface Upgrade {
  readonly request: IncomingMessage;
  /** Without the dialect's prefix. */
  readonly path: string;
  readonly caller: Caller;
}

/**
 * Takes a connection over: its handshake, its messages and its end are the taker's. When the gateway stops,
 * what is still open after a while is cut.
 */
export type TakeConnection = (socket: Duplex, head: Buffer) => void | Promise<void>;

/** Who takes the connection; `null`: the request is answered like any other. */
export type FindUpgrade = (upgrade: Upgrade) => TakeConnection | null;
