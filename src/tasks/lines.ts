import { sql } from '../db/drizzle.ts';

/** A run that may be claimed now. */
export const isReady = sql`state = 'pending' and run_after is null and needs = '{}'`;

/** Runs that failed before and may be tried again: so many are looked at together. */
export const retriedAtOnce = 50;

/** One that has not failed before: each stands in the line of its version of a workflow and its tenant. */
export const isInLine = sql`${isReady} and avoid is null`;

const line = sql.raw('workflow, workflow_hash, tenant');

/**
 * `lines (workflow, workflow_hash, tenant) as (…)`, for `with recursive`: all lines that hold a run. Each is one
 * probe of an index, however long it is.
 */
export const linesPart = sql`
  lines (${line}) as (
    (select ${line} from runs where ${isInLine} order by ${line} limit 1)
    union all
    select next.workflow, next.workflow_hash, next.tenant from lines
      cross join lateral (
        select ${line} from runs
         where ${isInLine} and (${line}) > (lines.workflow, lines.workflow_hash, lines.tenant)
         order by ${line} limit 1) as next
  )`;

/** A run of the line at hand, in a query of `runs` beside `lines`. */
export const isOfLine = sql`
  ${isInLine} and workflow = lines.workflow and workflow_hash = lines.workflow_hash
  and tenant = lines.tenant`;
