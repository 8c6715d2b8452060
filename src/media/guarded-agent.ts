import dns, { type LookupAddress } from 'node:dns';
import { isIP, type LookupFunction, type Socket } from 'node:net';
import { Agent, buildConnector, type Dispatcher } from 'undici';
import { GatewayError } from '../core/errors.ts';
import type { Tempo } from '../core/tempo.ts';
import { wholeBodies } from '../transport/whole-bodies.ts';
import { permitsAddress, permitsHost, type SourceAllow } from './source-policy.ts';

export interface GuardedAgentOptions
  extends Pick<Tempo['source'], 'connectDeadlineMs' | 'headersDeadlineMs' | 'idleDeadlineMs'> {
  readonly allow: SourceAllow;
  /** The system's resolver, unless a test brings its own. */
  readonly lookup?: typeof dns.lookup;
}

/**
 * An agent that connects to the public internet, and beyond it only to what the operator allows. The
 * address is judged when the connection is made, as a literal (for which no look-up happens), as the
 * answer of the look-up that the connection then uses, and as the peer that it reached; so a name
 * whose address changes between two look-ups gains nothing.
 */
export function createGuardedAgent(options: GuardedAgentOptions): Dispatcher {
  const { allow, lookup = dns.lookup } = options;
  const connect: buildConnector.connector = (target, callback) => {
    const host = target.hostname.replace(/^\[|\]$/g, '');
    const port = Number(target.port) || (target.protocol === 'https:' ? 443 : 80);
    const trusted = permitsHost(allow, host, port);
    const permits = (address: string) => trusted || permitsAddress(allow, address, port);
    if (isIP(host) !== 0 && !permits(host)) return callback(refused(host), null);
    const connector = buildConnector({
      timeout: options.connectDeadlineMs,
      lookup: guardedLookup(lookup, permits),
    });
    connector(target, (error, socket) => {
      if (error) return callback(error, null);
      const peer = socket.remoteAddress ?? '';
      if (permits(peer)) return callback(null, easedIn(socket));
      socket.destroy();
      callback(refused(`${host} -> ${peer}`), null);
    });
  };
  return new Agent({
    connect,
    headersTimeout: options.headersDeadlineMs,
    bodyTimeout: options.idleDeadlineMs,
    // A kept connection would spare a hop its judgement; sources seldom come from one host in a row.
    pipelining: 0,
  }).compose(wholeBodies);
}

/** The headers come first, 16 KB of them at most. */
const easedBytes = 64 * 1024;
const pieceBytes = 4 * 1024;

/**
 * Lets the beginning of what a server says be read in small pieces only. The client makes an error, with
 * its stack, for every header past its limit that lies in one piece: of 64 KB of tiny ones 30,000, which
 * held the event loop for 140 ms and more.
 */
function easedIn<T extends Socket>(socket: T): T {
  const read = socket.read.bind(socket);
  let leftBytes = easedBytes;
  socket.read = (size?: number) => {
    const mostBytes = Math.min(socket.readableLength, pieceBytes);
    if (size !== undefined || mostBytes === 0) return read(size);
    if (leftBytes <= 0) {
      socket.read = read;
      return read();
    }
    leftBytes -= mostBytes;
    return read(mostBytes);
  };
  return socket;
}

function guardedLookup(
  lookup: typeof dns.lookup,
  permits: (address: string) => boolean,
): LookupFunction {
  return (host, options, callback) => {
    lookup(host, { ...options, all: true }, (error, found) => {
      const addresses = found as unknown as LookupAddress[];
      if (error) return callback(error, []);
      // One address that is not permitted spoils the name: it is not for an attacker to choose.
      const bad = addresses.find(({ address }) => !permits(address));
      if (bad) return callback(refused(`${host} -> ${bad.address}`), []);
      const [first] = addresses;
      if (options.all || !first) return callback(null, addresses);
      callback(null, first.address, first.family);
    });
  };
}

/** Which address it was is no news for a client: it would learn what is in our network. */
export function refused(detail: string, field = 'url'): GatewayError {
  return new GatewayError(
    'source_refused',
    'The source is not on the public internet, and not among those that this gateway allows',
    { detail, field },
  );
}
