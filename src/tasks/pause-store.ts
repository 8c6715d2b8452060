import { recordStep } from '../audit/record-step.ts';
import type { OperatorAct } from '../core/operator-event.ts';
import type { Pause, Paused } from '../core/pause.ts';
import { asJsonb } from '../db/columns.ts';
import type { Orm } from '../db/connect.ts';
import { and, eq, gt, isNull, or, type SQL, sql } from '../db/drizzle.ts';
import { rowsOf } from '../db/rows.ts';
import { pauses } from '../db/schema.ts';
import { withParts } from '../db/statement.ts';

/** What is said of a pause. */
export type PauseTerms = Pick<Pause, 'reason' | 'until'>;

const holds = or(isNull(pauses.until), gt(pauses.until, sql`now()`));

/**
 * Whether nothing new may be begun of a workflow and a tenant, in a statement that has their names. Whoever begins
 * something asks it in the statement that does so: a pause holds as soon as it is committed, on every gateway.
 */
export function isPaused(workflow: SQL, tenant: SQL): SQL {
  return sql`exists (
    select from pauses where (pauses.until is null or pauses.until > now())
       and (pauses.kind = 'pool' or pauses.kind = 'workflow' and pauses.name = ${workflow}
            or pauses.kind = 'tenant' and pauses.name = ${tenant}))`;
}

/** What operators have paused. */
export class PauseStore {
  readonly #orm: Orm;
  readonly #gateway: string;

  /** `gateway`: this one's id, for the record. */
  constructor(orm: Orm, gateway: string) {
    this.#orm = orm;
    this.#gateway = gateway;
  }

  /** Those that hold at present, in the order of their names. */
  async list(): Promise<Pause[]> {
    return await this.#orm.select().from(pauses).where(holds).orderBy(pauses.kind, pauses.name);
  }

  /** Pauses it, on record; `null` where it is paused on these terms already. */
  async pause(actor: string, paused: Paused, terms: PauseTerms): Promise<OperatorAct | null> {
    const until = terms.until?.toISOString() ?? null;
    const body = { reason: terms.reason, until };
    const act = { actor, kind: 'paused', subject: nameOf(paused), body } as const;
    const isNews = sql`
      (${pauses.reason}, ${pauses.until}) is distinct from (excluded.reason, excluded.until)`;
    const since = sql`case when ${holds} then ${pauses.since} else now() end`;
    const changed = this.#orm
      .insert(pauses)
      .values({ ...paused, ...terms })
      .onConflictDoUpdate({
        target: [pauses.kind, pauses.name],
        set: { ...terms, since },
        setWhere: isNews,
      })
      .returning({ name: pauses.name });
    return await this.#recorded(act, changed.getSQL());
  }

  /** Ends a pause, on record; `null` where it is not paused. */
  async resume(actor: string, { kind, name }: Paused): Promise<OperatorAct | null> {
    const act = { actor, kind: 'resumed', subject: nameOf({ kind, name }), body: {} } as const;
    const changed = this.#orm
      .delete(pauses)
      .where(and(eq(pauses.kind, kind), eq(pauses.name, name), holds))
      .returning({ name: pauses.name });
    return await this.#recorded(act, changed.getSQL());
  }

  /** Makes the change and puts it on record, in one statement. */
  async #recorded(act: OperatorAct, changed: SQL): Promise<OperatorAct | null> {
    const body = asJsonb(act.body);
    const recorded = recordStep({ ...act, gateway: this.#gateway, body }, sql`changed`);
    const result = await this.#orm.execute(
      sql`${withParts({ changed, recorded })} select name from changed`,
    );
    return rowsOf(result).length > 0 ? act : null;
  }
}

function nameOf({ kind, name }: Paused): string {
  return kind === 'pool' ? kind : `${kind} ${name}`;
}
