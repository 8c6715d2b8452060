import type { HttpBindings } from '@hono/node-server';
import type { Context } from 'hono';

/** What stands before the paths in an answer: no slash at its end. */
export type LinkBase = (context: Context) => string;

/**
 * Links lead to where the client came from, unless the settings say where clients reach the gateway: only the client
 * knows by which name it does. So nothing that is kept, or shown to others, holds the host of a request.
 *
 * `port`: where all dialects are served; a port of one alone does not have the objects.
 */
export function linkBase(publicUrl: string | null, port: () => number): LinkBase {
  return ({ req, env }: Context<{ Bindings: Partial<HttpBindings> }>) => {
    if (publicUrl !== null) return publicUrl;
    const { origin, hostname } = new URL(req.url);
    const reached = env?.incoming?.socket.localPort ?? port();
    return reached === port() ? origin : `http://${hostname}:${port()}`;
  };
}

/** Stores that are served by the gateway have paths for addresses. */
export function linkTo(base: string, address: string): string {
  return address.startsWith('/') ? base + address : address;
}
