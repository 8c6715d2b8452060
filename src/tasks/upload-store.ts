import type { Orm } from '../db/connect.ts';
import { and, eq, inArray, isNull, or, type SQL, sql } from '../db/drizzle.ts';
import { firstRow } from '../db/rows.ts';
import { uploads } from '../db/schema.ts';

export interface Upload {
  readonly id: string;
  readonly tenant: string;
  /** What the client calls the file. */
  readonly name: string | null;
  /** Bytes; `null` while it has none that we know of. */
  readonly size: number | null;
  /** Until when its bytes may be sent; `null` for one that came with its task. */
  readonly openUntil: Date | null;
}

export interface NewUpload {
  readonly id: string;
  readonly tenant: string;
  /** Whoever has it may send the file; `null` where whoever has the id may. */
  readonly secret: string | null;
  /** What the client calls the file. */
  readonly name: string | null;
  /** How long its bytes may be sent, milliseconds; `null` where they are here already. */
  readonly openMs: number | null;
}

/** Who wants to send the file of an upload. */
export interface UploadSender {
  /** What came with the address. */
  readonly secret: string | null;
  /** Whose key came with it. */
  readonly tenant: string | null;
  /** Whether the quotas of the upload's tenant hold for it. */
  readonly isLimited: boolean;
}

const columns = {
  id: uploads.id,
  tenant: uploads.tenant,
  name: uploads.name,
  size: uploads.size,
  openUntil: uploads.openUntil,
};

/** The record of what clients sent us. Which tasks use it is written with the tasks. */
export class UploadStore {
  readonly #orm: Orm;

  constructor(orm: Orm) {
    this.#orm = orm;
  }

  async insert({ openMs, ...upload }: NewUpload): Promise<Upload> {
    const openUntil = openMs === null ? null : sql`now() + ${openMs} * interval '1 ms'`;
    const values = { ...upload, openUntil };
    const rows = await this.#orm.insert(uploads).values(values).returning(columns);
    return firstRow(rows, 'upload');
  }

  /** One of this tenant; of others there is none. */
  async find(id: string, tenant: string): Promise<Upload | null> {
    const [row] = await this.#orm
      .select(columns)
      .from(uploads)
      .where(and(eq(uploads.id, id), eq(uploads.tenant, tenant)));
    return row ?? null;
  }

  /** One whose bytes this sender may still send: its time is not over, and no task uses it. */
  async findOpen(
    id: string,
    { secret, tenant }: Pick<UploadSender, 'secret' | 'tenant'>,
  ): Promise<Upload | null> {
    const isTheirs = or(
      isNull(uploads.secret),
      secret === null ? undefined : eq(uploads.secret, secret),
      tenant === null ? undefined : eq(uploads.tenant, tenant),
    );
    const [row] = await this.#orm
      .select(columns)
      .from(uploads)
      .where(
        and(eq(uploads.id, id), isTheirs, sql`${uploads.openUntil} > now()`, sql`not ${isUsed}`),
      );
    return row ?? null;
  }

  /** Its bytes are in the object store, or not any more. `false`: it was removed meanwhile. */
  async recordSize(id: string, size: number | null): Promise<boolean> {
    const rows = await this.#orm
      .update(uploads)
      .set({ size })
      .where(eq(uploads.id, id))
      .returning({ id: uploads.id });
    return rows.length > 0;
  }

  /**
   * Uploads that nobody needs any more: all of their tasks have ended, or none came for so long. Of one
   * that `isOpen` more bytes may come.
   */
  async unneeded(
    unusedMs: number,
    among: { readonly ids: readonly string[] } | { readonly taskId: string } | null,
  ): Promise<{ id: string; isOpen: boolean }[]> {
    const isOld = sql`${uploads.createdAt} <= now() - ${unusedMs} * interval '1 ms'`;
    return await this.#orm
      .select({
        id: uploads.id,
        isOpen: sql<boolean>`coalesce(${uploads.openUntil} > now(), false)`,
      })
      .from(uploads)
      .where(
        and(
          among && 'ids' in among ? inArray(uploads.id, [...among.ids]) : undefined,
          among && 'taskId' in among ? isUsedBy(among.taskId) : undefined,
          sql`(${isUsed} or ${isOld})`,
          sql`not ${isInUse}`,
        ),
      )
      .limit(100);
  }

  async delete(id: string): Promise<void> {
    await this.#orm.delete(uploads).where(eq(uploads.id, id));
  }
}

const isUsed: SQL = sql`exists (select from task_uploads where upload_id = ${uploads.id})`;

function isUsedBy(taskId: string): SQL {
  return sql`exists (
    select from task_uploads where upload_id = ${uploads.id} and task_id = ${taskId})`;
}

const isInUse: SQL = sql`exists (
  select from task_uploads join tasks on tasks.id = task_uploads.task_id
  where upload_id = ${uploads.id} and tasks.state in ('pending', 'processing'))`;
