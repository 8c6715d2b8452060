import { createHash } from 'node:crypto';
import type { Context, MiddlewareHandler } from 'hono';
import { GatewayError } from '../core/errors.ts';
import type { TaskOwner } from '../tasks/task-store.ts';

/** A key that the settings give to somebody. */
export interface ApiKey {
  /** The tenant: whose tasks they are that come with it. */
  readonly name: string;
  readonly key: string;
  /** Whether it may look at everybody's tasks, and change the pool. */
  readonly isOperator: boolean;
}

/** Who sent a request. */
export interface Caller {
  readonly tenant: string;
  readonly isOperator: boolean;
}

declare module 'hono' {
  interface ContextVariableMap {
    caller: Caller;
  }
}

/** Whose tasks a caller sees in a dialect: operators everybody's, others those of their own. */
export function ownerIn(dialect: string): (caller: Caller) => TaskOwner {
  return ({ tenant, isOperator }) => ({ dialect, tenant: isOperator ? null : tenant });
}

/** By which name an act is on record: that of the key; empty where no keys are asked for. */
export function actorOf(context: Context): string {
  return context.var.caller.tenant;
}

/** Whether a key is asked for; without any, everybody is let in. */
export function asksForKeys({ apiKeys }: { readonly apiKeys: readonly ApiKey[] }): boolean {
  return apiKeys.length > 0;
}

/** Without keys, whoever reaches the gateway is everybody. */
const everybody: Caller = { tenant: '', isOperator: true };

/** Who sends a request with these headers; `null` for nobody that is known. */
export type FindCaller = (header: (name: string) => string | undefined) => Caller | null;

/**
 * Knows callers by `Authorization: Bearer KEY` or `X-API-Key: KEY`. Keys are compared by their digests,
 * which tells nothing of how much of a guess was right.
 */
export function keyring(keys: readonly ApiKey[]): FindCaller {
  if (keys.length === 0) return () => everybody;
  const callers = new Map(
    keys.map(({ name, key, isOperator }) => [digest(key), { tenant: name, isOperator }]),
  );
  return (header) => {
    const [, bearer] = /^Bearer (\S+)$/i.exec(header('authorization') ?? '') ?? [];
    const key = bearer ?? header('x-api-key');
    return (key !== undefined && callers.get(digest(key))) || null;
  };
}

/** @throws GatewayError `unauthorized`. */
export function identify(callerOf: FindCaller): MiddlewareHandler {
  return async (context, next) => {
    const caller = callerOf((name) => context.req.header(name));
    if (!caller) {
      context.header('WWW-Authenticate', 'Bearer');
      throw new GatewayError(
        'unauthorized',
        'A key is needed, as Authorization: Bearer KEY or X-API-Key: KEY',
      );
    }
    context.set('caller', caller);
    await next();
  };
}

/** @throws GatewayError `forbidden` where an operator's key is needed. */
export const operatorsOnly: MiddlewareHandler = async (context, next) => {
  if (!context.var.caller.isOperator) {
    throw new GatewayError('forbidden', 'That takes the key of an operator');
  }
  await next();
};

function digest(key: string): string {
  return createHash('sha256').update(key).digest('base64');
}
