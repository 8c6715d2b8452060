import { randomUUID } from 'node:crypto';
import type { Readable } from 'node:stream';
import { cutText } from '../core/cut-text.ts';
import { GatewayError } from '../core/errors.ts';
import { isStorable } from '../core/storable-text.ts';
import type { Tempo } from '../core/tempo.ts';
import { uploadIdOf, uploadKey } from '../core/upload.ts';
import { reaching } from '../db/errors.ts';
import type { ObjectStore, PresignedPut } from '../storage/object-store.ts';
import type { UploadLog } from '../telemetry/upload-log.ts';
import { fileSource } from './file-source.ts';
import { newSecret } from './new-secret.ts';
import type { TaskQuotas } from './task-quotas.ts';
import type { UploadSender, UploadStore } from './upload-store.ts';

/** A file that a client sent, as long as it lies on our disk. */
export interface ReceivedFile extends AsyncDisposable {
  readonly path: string;
  readonly bytes: number;
  readonly contentType: string;
}

export interface UploadServiceParts {
  readonly uploads: UploadStore;
  readonly store: Pick<ObjectStore, 'put' | 'stat' | 'delete' | 'presignPut'>;
  readonly intake: { receive(body: Readable, signal: AbortSignal): Promise<ReceivedFile> };
  readonly quotas: Pick<TaskQuotas, 'check'>;
  /** Bytes that a source may have. */
  readonly maxBytes: number;
  readonly log: UploadLog;
  readonly tempo: Tempo['uploads'];
}

/** One that is to be kept under that id. */
export interface ReceivedUpload extends ReceivedFile {
  readonly id: string;
}

/** Where a client may put a file. */
export interface UploadOffer {
  readonly id: string;
  /** To be sent with the file where it goes to the gateway itself; `null` where that takes nothing. */
  readonly secret: string | null;
  /** `null`: to the gateway itself. */
  readonly target: PresignedPut | null;
  readonly openUntil: Date;
}

const maxNameLength = 255;

/**
 * Files that clients send us. They are in the object store before a task is taken on, because whoever
 * runs it may be another gateway, and are gone when the tasks that use them have ended.
 */
export class UploadService {
  readonly #parts: UploadServiceParts;

  constructor(parts: UploadServiceParts) {
    this.#parts = parts;
  }

  /** Takes a file as it is sent. It is on our disk only, until it is disposed of. */
  async receive(body: Readable, signal: AbortSignal): Promise<ReceivedUpload> {
    const file = await this.#parts.intake.receive(body, signal);
    return { ...file, id: randomUUID() };
  }

  /** Keeps a received file, so that a task may use it. */
  async keep(
    file: ReceivedUpload,
    { tenant, name }: { readonly tenant: string; readonly name: string | null },
    signal: AbortSignal,
  ): Promise<void> {
    const upload = { id: file.id, tenant, secret: null, name: storable(name), openMs: null };
    await reaching(this.#parts.uploads.insert(upload));
    await this.#store(file.id, file, signal);
  }

  /** Opens an upload that the client fills by itself. */
  async offer(
    tenant: string,
    { name, contentType }: { readonly name: string | null; readonly contentType: string },
  ): Promise<UploadOffer> {
    const { uploads, store, tempo } = this.#parts;
    // Where no keys are asked for, the id is enough.
    const secret = tenant === '' ? null : newSecret();
    const id = randomUUID();
    const upload = { id, tenant, secret, name: storable(name), openMs: tempo.openForMs };
    const { openUntil } = await reaching(uploads.insert(upload));
    const target = await store.presignPut(uploadKey(id), contentType, tempo.openForMs / 1_000);
    if (openUntil === null) throw new Error('The upload was kept without an end');
    return { id, secret, target, openUntil };
  }

  /**
   * Fills an upload that was opened; again, if the client has not heard that it was.
   *
   * @throws GatewayError `upload_not_found`, `limit_exceeded`, and what `receive` throws.
   */
  async fill(
    id: string,
    sender: UploadSender,
    body: Readable,
    signal: AbortSignal,
  ): Promise<number> {
    const { uploads, quotas } = this.#parts;
    const upload = await reaching(uploads.findOpen(id, sender));
    if (!upload) throw notOpen();
    const { isLimited } = sender;
    await quotas.check({ tenant: upload.tenant, isLimited }, { task: false, file: true });
    await using file = await this.#parts.intake.receive(body, signal);
    // It may have been put to use, or its time may have run out, while it was sent.
    if (!(await reaching(uploads.findOpen(id, sender)))) throw notOpen();
    await this.#store(id, file, signal);
    return file.bytes;
  }

  /**
   * Makes sure, at the door, that the tenant's upload is there; `field` is where it was named. Returns
   * what the client calls the file.
   *
   * @throws GatewayError `source_not_found`, `source_empty`, `source_too_large`.
   */
  async check(url: string, tenant: string, field: string): Promise<string | null> {
    const { uploads, store, maxBytes, tempo } = this.#parts;
    const id = uploadIdOf(url);
    const upload = id && (await reaching(uploads.find(id, tenant)));
    if (!upload) throw notFound('There is no such upload', field);
    if (upload.size !== null) return upload.name;
    // Where it was sent straight to the store, nobody has told us yet.
    const stat = await store.stat(
      uploadKey(upload.id),
      AbortSignal.timeout(tempo.lookUpDeadlineMs),
    );
    if (!stat) throw notFound('The file of the upload has not been sent yet', field);
    if (stat.size === 0) {
      throw new GatewayError('source_empty', 'The source is an empty file', { field });
    }
    if (stat.size > maxBytes) {
      const message = `The source is larger than ${maxBytes} bytes`;
      throw new GatewayError('source_too_large', message, { field });
    }
    return upload.name;
  }

  /** Removes those that no task came to use. */
  async discard(ids: readonly string[]): Promise<void> {
    if (ids.length > 0) await this.#removeUnneeded(0, { ids });
  }

  /** Removes what only this task needed, if it has ended. What fails is swept later. */
  async release(taskId: string): Promise<void> {
    await this.#removeUnneeded(this.#parts.tempo.unusedForMs, { taskId });
  }

  /** Removes what was never used, and what is left of tasks that have ended. */
  async sweep(): Promise<void> {
    await this.#removeUnneeded(this.#parts.tempo.unusedForMs, null);
  }

  async #removeUnneeded(
    unusedForMs: number,
    among: Parameters<UploadStore['unneeded']>[1],
  ): Promise<void> {
    const { uploads, log } = this.#parts;
    try {
      for (const each of await uploads.unneeded(unusedForMs, among)) await this.#remove(each);
    } catch (error) {
      log.sweepFailed(error);
    }
  }

  /** The object first: while there is a record of it, another sweep will find it. */
  async #remove({ id, isOpen }: { readonly id: string; readonly isOpen: boolean }): Promise<void> {
    const { uploads, store, log, tempo } = this.#parts;
    try {
      await store.delete(uploadKey(id), AbortSignal.timeout(tempo.cleanUpDeadlineMs));
      // The client may still use the address that it was given: then there is more to remove.
      if (isOpen) await uploads.recordSize(id, null);
      else await uploads.delete(id);
    } catch (error) {
      log.removalFailed(id, error);
    }
  }

  async #store(id: string, file: ReceivedFile, signal: AbortSignal): Promise<void> {
    const { uploads, store, tempo } = this.#parts;
    const { contentType } = file;
    await store.put(uploadKey(id), fileSource(file), { contentType, signal });
    if (await reaching(uploads.recordSize(id, file.bytes))) return;
    await store.delete(uploadKey(id), AbortSignal.timeout(tempo.cleanUpDeadlineMs));
    throw notOpen();
  }
}

/** A name is for people only: what cannot be kept of it is left out. */
function storable(name: string | null): string | null {
  return name !== null && isStorable(name) ? cutText(name, maxNameLength) : null;
}

function notFound(message: string, field: string): GatewayError {
  return new GatewayError('source_not_found', message, { field });
}

function notOpen(): GatewayError {
  return new GatewayError(
    'upload_not_found',
    'There is no upload to be sent here: it never was, its time is over, or a task uses it already',
  );
}
