import type { Duplex } from 'node:stream';
import { every } from '../timing/every.ts';
import type { TakeConnection } from './upgrade.ts';

/**
 * Takes a connection for as long as its key is good, and cuts it soon after that: a key ends by being revoked, by its
 * time, or by losing a scope. While nobody can tell, the connection stays.
 */
export function whileKeyed(
  take: TakeConnection,
  isGood: () => Promise<boolean>,
  lookEveryMs: number,
): TakeConnection {
  return async (socket, head) => {
    const look = async () => {
      if (!(await isGood())) socket.destroy();
    };
    void every(lookEveryMs, closingOf(socket), look, { isLater: true, onError: () => {} });
    await take(socket, head);
  };
}

function closingOf(socket: Duplex): AbortSignal {
  const closing = new AbortController();
  if (socket.destroyed) closing.abort();
  socket.once('close', () => closing.abort());
  return closing.signal;
}
