import { type SQL, sql } from '../db/drizzle.ts';

/** A run that may be claimed now. */
export const isReady = sql`state = 'pending' and run_after is null and needs = '{}'`;

/** Runs that failed before and may be tried again: so many are looked at together. */
export const retriedAtOnce = 50;

/** One that has not failed before: each stands in the line of its version of a workflow and its tenant. */
export const isInLine = sql`${isReady} and avoid is null`;

const line = sql.raw('workflow, workflow_hash, tenant');

/** Lines of runs, for a query of `runs`. */
interface Lines {
  /**
   * `lines (workflow, workflow_hash, tenant) as (…)`, for `with recursive`: all lines that hold a run. Each is
   * one probe of an index, however long it is.
   */
  readonly part: SQL;
  /** A run of the line at hand, beside `lines`. */
  readonly isOfLine: SQL;
}

/** Of runs that are in this state, which has an index led by the line. */
function linesOf(isIn: SQL): Lines {
  return {
    part: sql`
      lines (${line}) as (
        (select ${line} from runs where ${isIn} order by ${line} limit 1)
        union all
        select next.workflow, next.workflow_hash, next.tenant from lines
          cross join lateral (
            select ${line} from runs
             where ${isIn} and (${line}) > (lines.workflow, lines.workflow_hash, lines.tenant)
             order by ${line} limit 1) as next
      )`,
    isOfLine: sql`
      ${isIn} and workflow = lines.workflow and workflow_hash = lines.workflow_hash
      and tenant = lines.tenant`,
  };
}

export const { part: linesPart, isOfLine } = linesOf(isInLine);

/** Of runs whose links nobody has read. */
export const unreadLines = linesOf(sql`${isReady} and is_unread`);
