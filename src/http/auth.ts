import type { Context, MiddlewareHandler } from 'hono';
import { type Caller, may } from '../core/caller.ts';
import { GatewayError } from '../core/errors.ts';
import type { TaskOwner } from '../tasks/task-store.ts';
import { scopeOf } from './route-policy.ts';

export type { Caller } from '../core/caller.ts';

/** Knows who has which key. */
export interface Callers {
  /**
   * Who has the key; `null` for nobody. Where no keys are asked for, everybody.
   *
   * @throws GatewayError `unavailable` where that cannot be told.
   */
  find(key: string | undefined): Promise<Caller | null>;
  /** The same without a wait; `null` also where it cannot be told at once. */
  now(key: string | undefined): Caller | null;
}

declare module 'hono' {
  interface ContextVariableMap {
    caller: Caller;
  }
}

/** Whose tasks a caller sees in a dialect: an admin everybody's, others those of their tenant. */
export function ownerIn(dialect: string): (caller: Caller) => TaskOwner {
  return (caller) => ({ dialect, tenant: may(caller, 'admin') ? null : caller.tenant });
}

/** By which name an act is on record: that of the key; empty where no keys are asked for. */
export function actorOf(context: Context): string {
  return context.var.caller.key;
}

/** The key of a request with these headers: `Authorization: Bearer KEY` or `X-API-Key: KEY`. */
export function keyIn(header: (name: string) => string | undefined): string | undefined {
  const [, bearer] = /^Bearer (\S+)$/i.exec(header('authorization') ?? '') ?? [];
  return bearer ?? header('x-api-key');
}

/**
 * Lets those pass whose key has the scope of the route.
 *
 * @throws GatewayError `unauthorized`, `forbidden`, `unavailable`.
 */
export function identify(callers: Callers): MiddlewareHandler {
  return async (context, next) => {
    const caller = await callers.find(keyIn((name) => context.req.header(name)));
    if (!caller) {
      context.header('WWW-Authenticate', 'Bearer');
      throw new GatewayError(
        'unauthorized',
        'A key is needed, as Authorization: Bearer KEY or X-API-Key: KEY',
      );
    }
    const scope = scopeOf(context);
    if (scope && !may(caller, scope)) {
      throw new GatewayError('forbidden', `That takes a key with the scope ${scope}`);
    }
    context.set('caller', caller);
    await next();
  };
}
