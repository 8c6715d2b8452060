import type { HttpBindings } from '@hono/node-server';
import type { Context, MiddlewareHandler } from 'hono';
import { type Caller, may, type Scope } from '../core/caller.ts';
import { GatewayError } from '../core/errors.ts';
import type { DialectOwner } from '../tasks/task-store.ts';
import { scopeOf, takesSecret } from './route-policy.ts';
import type { WrongKeys } from './wrong-keys.ts';

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

/** Whose tasks a caller sees: `null` for everybody's, which admins see, with the pool as it is. */
export function tenantSeenBy(caller: Caller): string | null {
  return may(caller, 'admin') ? null : caller.tenant;
}

/** The same, in a dialect. */
export function ownerIn(dialect: string): (caller: Caller) => DialectOwner {
  return (caller) => ({ dialect, tenant: tenantSeenBy(caller) });
}

/** By which name an act is on record: that of the key; empty where no keys are asked for. */
export function actorOf(context: Context): string {
  return context.var.caller.key;
}

/** The key of a request: `Authorization: Bearer KEY`, `X-API-Key: KEY`, or `X-Auth-Token: KEY` as the upscale service had it. */
export function keyIn(header: (name: string) => string | undefined): string | undefined {
  const [, bearer] = /^Bearer +(\S+)$/i.exec(header('authorization') ?? '') ?? [];
  return bearer ?? header('x-api-key') ?? header('x-auth-token');
}

/**
 * Lets those pass whose key has the scope of the route.
 *
 * @throws GatewayError `unauthorized`, `forbidden`, `limit_exceeded` where too many keys were wrong, `unavailable`.
 */
export function identify(callers: Callers, wrongKeys: WrongKeys): MiddlewareHandler {
  return async (context, next) => {
    const key = keyIn((name) => context.req.header(name));
    const address = addressOf(context);
    const refusal = key === undefined ? null : wrongKeys.refusal(address, key);
    const caller = refusal ? null : await callers.find(key);
    if (key !== undefined && !refusal) wrongKeys.note(address, key, caller !== null);
    const scope = scopeOf(context);
    const isLetIn = caller !== null && (scope === null || may(caller, scope));
    if (isLetIn) context.set('caller', caller);
    else if (!takesSecret(context)) {
      throw refusal ?? (caller ? forbidden(scope) : unauthorized(context, key));
    }
    await next();
  };
}

/** The caller of a route that takes a secret in place of a key; `null` where there is no key of its scope. */
export function callerIfAny(context: Context): Caller | null {
  return context.get('caller') ?? null;
}

export function unauthorized(context: Context, key?: string): GatewayError {
  context.header('WWW-Authenticate', key === undefined ? 'Bearer' : 'Bearer error="invalid_token"');
  return new GatewayError(
    'unauthorized',
    key === undefined
      ? 'A key is needed, as Authorization: Bearer KEY or X-API-Key: KEY'
      : 'This gateway does not know the key, or does not accept it any more',
  );
}

function forbidden(scope: Scope | null): GatewayError {
  return new GatewayError(
    'forbidden',
    `The key lacks the scope ${scope}, which this request takes`,
  );
}

/** Where the request comes from, as its socket has it: a proxy's own address behind one. */
export function addressOf({ env }: Context<{ Bindings: Partial<HttpBindings> }>): string {
  return env?.incoming?.socket.remoteAddress ?? '';
}
