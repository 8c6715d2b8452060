import { randomUUID } from 'node:crypto';
import type { Readable } from 'node:stream';
import { GatewayError } from '../core/errors.ts';
import { contentTypeOf } from '../core/media.ts';
import type { Tempo } from '../core/tempo.ts';
import { SourceFile, type SourceLimits } from './source-file.ts';
import type { Spool } from './spool.ts';

/** A file that a client sent, as long as it lies in the spool. */
export interface ReceivedFile extends AsyncDisposable {
  readonly path: string;
  readonly bytes: number;
  /** By what its first bytes say it is. */
  readonly contentType: string;
}

/** Brings what clients send onto our disk, in constant memory, and nothing that is no picture or clip. */
export class UploadIntake {
  readonly #spool: Spool;
  readonly #limits: SourceLimits;
  readonly #tempo: Pick<Tempo['spool'], 'clientPatienceMs'>;

  constructor(spool: Spool, limits: SourceLimits, tempo: Pick<Tempo['spool'], 'clientPatienceMs'>) {
    this.#tempo = tempo;
    this.#spool = spool;
    this.#limits = limits;
  }

  /**
   * Takes the body to its end. Nothing is left of it after a failure.
   *
   * @throws GatewayError `media_unsupported` as soon as its first bytes tell, `source_too_large`,
   *   `source_empty`, `spool_full`; whatever the body breaks off with; the signal's reason.
   */
  async receive(body: Readable, signal: AbortSignal): Promise<ReceivedFile> {
    const owner = randomUUID();
    await using parts = new AsyncDisposableStack();
    parts.defer(() => this.#spool.clear(owner));
    await this.#room(owner, signal);
    const { path, onBytes } = this.#spool.file(owner, 'upload');
    await using file = await SourceFile.create(path, {
      limits: this.#limits,
      onProgress: onBytes,
    });
    for await (const chunk of body) {
      signal.throwIfAborted();
      await file.write(chunk, null);
      if (file.refusal) throw file.refusal;
    }
    const { bytes } = await file.finish();
    if (!file.format) throw file.refusal;
    const kept = parts.move();
    return {
      path,
      bytes,
      contentType: contentTypeOf(file.format),
      [Symbol.asyncDispose]: () => kept.disposeAsync(),
    };
  }

  async #room(owner: string, signal: AbortSignal): Promise<void> {
    const deadline = AbortSignal.timeout(this.#tempo.clientPatienceMs);
    try {
      await this.#spool.room(owner, AbortSignal.any([signal, deadline]));
    } catch (error) {
      signal.throwIfAborted();
      throw new GatewayError('spool_full', 'The gateway has no room for the file at the moment', {
        cause: error,
      });
    }
  }
}
