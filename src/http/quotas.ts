import type { Context, MiddlewareHandler } from 'hono';
import { addressGroup } from '../core/address-group.ts';
import { accountOf } from '../core/caller.ts';
import { type GatewayError, limitExceeded } from '../core/errors.ts';
import { type QuotaState, type Quotas, quotaHeaders } from '../core/quota.ts';
import { TokenBuckets } from '../core/token-buckets.ts';
import type { TaskQuotas } from '../tasks/task-quotas.ts';
import type { Logger } from '../telemetry/logger.ts';
import { RefusalLog } from '../telemetry/refusal-log.ts';
import { addressOf, callerIfAny } from './auth.ts';
import { noteRefusal } from './request-note.ts';
import { bringsFile, policyOf } from './route-policy.ts';
import { WrongKeys } from './wrong-keys.ts';

/** What the doors of all dialects have in common. */
export interface Doors {
  readonly wrongKeys: WrongKeys;
  /** Of tenants; `null`: any number may come. */
  readonly requests: TokenBuckets | null;
  readonly tasks: Pick<TaskQuotas, 'check'>;
  readonly refusals: RefusalLog;
}

export function doorsOf(
  { wrongKeys, requests }: Pick<Quotas, 'wrongKeys' | 'requests'>,
  tasks: Pick<TaskQuotas, 'check'>,
  logger: Logger,
): Doors {
  return {
    wrongKeys: new WrongKeys(wrongKeys),
    requests: requests === null ? null : new TokenBuckets(requests),
    tasks,
    refusals: new RefusalLog(logger),
  };
}

/**
 * Lets those pass whose tenant has not used up its requests, nor what the route adds to. It comes after the check of
 * the key, and before any body is read.
 *
 * @throws GatewayError `limit_exceeded`, `queue_full`, `unavailable`.
 */
export function withinQuotas({
  requests,
  tasks,
}: Pick<Doors, 'requests' | 'tasks'>): MiddlewareHandler {
  return async (context, next) => {
    const caller = callerIfAny(context);
    if (caller) {
      const account = accountOf(caller);
      if (requests && account.isLimited) takeRequest(context, requests, account.tenant);
      const { adds, ...policy } = policyOf(context) ?? {};
      const task = adds === 'task';
      const file = adds === 'file' || (task && bringsFile(policy, context.req.raw));
      if (task || file) await tasks.check(account, { task, file });
    }
    await next();
  };
}

function takeRequest(context: Context, requests: TokenBuckets, tenant: string): void {
  const { most } = requests;
  const { isTaken, left, fullInS, nextInS } = requests.take(tenant, performance.now());
  const state = { name: 'requests', most, windowS: 60, left, resetS: fullInS };
  if (isTaken) {
    tellQuota(context, state);
    return;
  }
  const message = `The tenant has sent the ${most} requests that it may in a minute; try again in ${nextInS} seconds`;
  throw limitExceeded({ message, state, retryAfterS: nextInS });
}

/** Beside what is told of other quotas. */
export function tellQuota(context: Context, state: QuotaState): void {
  for (const [name, value] of Object.entries(quotaHeaders(state))) {
    context.header(name, value, { append: true });
  }
}

/** Who was refused: its tenant, or its address where it has none; of IPv6 its network, which has as many as it likes. */
export function logRefusal(context: Context, error: GatewayError, refusals: RefusalLog): void {
  noteRefusal(context);
  const caller = callerIfAny(context);
  const { code, quota, message } = error;
  refusals.refused(
    {
      ...(caller ? { tenant: caller.tenant } : { address: addressGroup(addressOf(context)) }),
      code,
    },
    quota?.name ?? code,
    message,
  );
}
