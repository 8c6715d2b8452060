import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ConfigError } from '../config/config.ts';
import { systemCodeOf } from '../core/system-code.ts';

/**
 * Listens, and tells where. `setting`: which one has the port.
 *
 * @throws ConfigError where that host and port cannot be had.
 */
export async function listen(
  server: Server,
  host: string,
  port: number,
  setting: string,
): Promise<string> {
  try {
    server.listen(port, host);
    await once(server, 'listening');
  } catch (error) {
    const reason = reasonOf(systemCodeOf(error), host, port, setting);
    throw reason === null ? error : new ConfigError([reason]);
  }
  const address = server.address() as AddressInfo;
  const name = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `http://${name}:${address.port}`;
}

function reasonOf(code: string, host: string, port: number, setting: string): string | null {
  switch (code) {
    case 'EADDRINUSE':
      return `${setting} ${port}: another program listens there already, at ${host}`;
    case 'EACCES':
      return `${setting} ${port}: the user that runs the gateway may not listen there`;
    case 'EADDRNOTAVAIL':
      return `HOST ${host} is no address of this machine; 0.0.0.0 stands for all that it has`;
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `HOST ${host} is no address, and no name that can be looked up`;
    default:
      return null;
  }
}
