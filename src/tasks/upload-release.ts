import { isLast } from '../core/task-event.ts';
import { isUploadUrl } from '../core/upload.ts';
import type { Happening } from './door.ts';
import type { UploadService } from './upload-service.ts';

/** Lets go of the files that clients sent for a task when it ends, however it does. What fails is swept later. */
export class UploadRelease implements AsyncDisposable {
  readonly #uploads: Pick<UploadService, 'release'>;
  readonly #underWay = new Set<Promise<void>>();

  constructor(uploads: Pick<UploadService, 'release'>) {
    this.#uploads = uploads;
  }

  /** A move of this gateway has been committed. */
  readonly hear = ({ event, task }: Pick<Happening, 'event' | 'task'>): void => {
    if (!isLast(event) || !task.sources.some(({ url }) => isUploadUrl(url))) return;
    const released = this.#uploads.release(task.id).finally(() => {
      this.#underWay.delete(released);
    });
    this.#underWay.add(released);
  };

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#underWay);
  }
}
