import type { OperatorAct } from '../core/operator-event.ts';
import { type SQL, sql } from '../db/drizzle.ts';
import { operatorEvents } from '../db/schema.ts';

/** An act whose body is put together by the statement that does it. */
export interface ActInStatement extends Omit<OperatorAct, 'body'> {
  readonly gateway: string;
  readonly body: SQL;
}

/**
 * The part of a statement that records what the rest of it does, once for each row of `from`: the act and its
 * record are committed together, or not at all.
 */
export function recordStep(
  { actor, gateway, kind, subject, body }: ActInStatement,
  from: SQL,
): SQL {
  return sql`
    insert into operator_events (actor, gateway, kind, subject, body)
    select ${sql.param(actor, operatorEvents.actor)}, ${gateway}::uuid, ${kind},
           ${sql.param(subject, operatorEvents.subject)}, ${body}
      from ${from}`;
}
