import { GatewayError } from '../core/errors.ts';
import type { Tempo } from '../core/tempo.ts';
import { untilAborted } from '../core/until-aborted.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { ComfyClient, InputFile } from './client.ts';
import { inputRefused } from './errors.ts';
import { InputFolder } from './input-folder.ts';
import { mostAroundFileBytes } from './multipart.ts';

/** How inputs come onto a server: into a folder that it shares with us, where that works, else by upload. */
export class Inputs {
  readonly #client: ComfyClient;
  readonly #logger: Logger;
  readonly #tempo: Tempo['inputs'];
  #path: string | null = null;
  /** `null`: none is wanted, or it cannot be used. */
  #folder: InputFolder | null = null;
  /** Why the folder that is wanted cannot be used. */
  #whyNot: string | null = null;
  /** The largest upload, bytes, with what is around the file; `null`: unknown. */
  #maxUploadBytes: number | null = null;

  constructor(client: ComfyClient, logger: Logger, tempo: Tempo['inputs']) {
    this.#client = client;
    this.#logger = logger;
    this.#tempo = tempo;
  }

  /** The largest file that it takes, bytes; `null`: no limit is known. */
  get maxBytes(): number | null {
    if (this.#folder || this.#maxUploadBytes === null) return null;
    return Math.max(0, this.#maxUploadBytes - mostAroundFileBytes);
  }

  /** Whether inputs are put into a folder. */
  get isShared(): boolean {
    return this.#folder !== null;
  }

  takes(bytes: number): boolean {
    return this.maxBytes === null || bytes <= this.maxBytes;
  }

  /** Sets the server's `input` folder as it is here; `true` when it has to be learnt anew. */
  share(path: string | null): boolean {
    if (path === this.#path) return false;
    this.#path = path;
    this.#folder = null;
    this.#whyNot = null;
    return true;
  }

  /**
   * Learns what the server takes, and whether the folder can be used.
   *
   * @throws GatewayError `backend_unreachable`.
   */
  async learn(signal: AbortSignal): Promise<void> {
    this.#maxUploadBytes = await this.#client.maxUploadBytes(signal).catch((error) => {
      // Something between us and the server may not let it be asked.
      if (error instanceof GatewayError && error.code === 'backend_failed') return null;
      throw error;
    });
    await this.#learnFolder(signal);
  }

  async #learnFolder(signal: AbortSignal): Promise<void> {
    const path = this.#path;
    if (path === null) return;
    const folder = new InputFolder(path, this.#tempo);
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(this.#tempo.checkDeadlineMs)]);
    const whyNot = await untilAborted(folder.check(this.#client, deadline), deadline).then(
      () => null,
      (error: Error) => error.message,
    );
    signal.throwIfAborted();
    if (path !== this.#path) return;
    if (whyNot === null) {
      if (!this.#folder) this.#logger.info({ inputDir: path }, 'inputs.shared');
      this.#folder = folder;
      await folder.sweep().catch((error) => this.#logger.debug({ err: error }, 'inputs.unswept'));
    } else if (whyNot !== this.#whyNot) {
      this.#logger.warn({ inputDir: path, reason: whyNot }, 'inputs.not-shared');
      this.#folder = null;
    }
    this.#whyNot = whyNot;
  }

  /**
   * Brings the file onto the server and returns the name by which its nodes find it.
   *
   * @throws GatewayError `backend_upload_refused`, `backend_unreachable`, `backend_failed`; the signal's
   *   reason.
   */
  async put(file: InputFile, signal: AbortSignal): Promise<string> {
    const folder = this.#folder;
    if (folder) {
      try {
        return await folder.put(file, signal);
      } catch (error) {
        signal.throwIfAborted();
        this.#logger.warn({ err: error }, 'inputs.not-put');
      }
    }
    const maxBytes = this.#maxUploadBytes;
    if (maxBytes !== null && file.size + mostAroundFileBytes > maxBytes) {
      throw inputRefused(file.size, maxBytes);
    }
    return await this.#client.upload(file, signal, maxBytes);
  }

  /** Removes an attempt's folder where we can: nothing on the server needs it any more. */
  async remove(subfolder: string): Promise<void> {
    if (this.#path === null) return;
    const removed = new InputFolder(this.#path, this.#tempo).remove(subfolder);
    await untilAborted(removed, AbortSignal.timeout(this.#tempo.removeDeadlineMs)).catch((error) =>
      this.#logger.warn({ err: error }, 'inputs.not-removed'),
    );
  }
}
