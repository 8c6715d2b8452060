import type { TaskEvent } from '../core/task-event.ts';
import { untilAborted } from '../core/until-aborted.ts';

/** A follower that takes no event for so many is cut off: it may begin again where it was. */
const mostQueued = 100;

/** The follower was too slow. */
export class FollowerCutError extends Error {
  override readonly name = 'FollowerCutError';

  constructor() {
    super('The follower took no events for too long; it may go on from the last one that it took');
  }
}

/** One who follows a task: what is heard of it waits here. */
export class Follower implements Disposable {
  readonly taskId: string;
  readonly #leave: (follower: Follower) => void;
  #queue: TaskEvent[] = [];
  #isCut = false;
  #heard = Promise.withResolvers<void>();

  constructor(taskId: string, leave: (follower: Follower) => void) {
    this.taskId = taskId;
    this.#leave = leave;
  }

  hear(event: TaskEvent): void {
    if (this.#queue.length >= mostQueued) {
      this.#isCut = true;
      this.#queue = [];
    } else if (!this.#isCut) {
      this.#queue.push(event);
    }
    this.#heard.resolve();
  }

  /**
   * What was heard since the last time, at least one event. Some may be missing, or come twice.
   *
   * @throws FollowerCutError; the signal's reason.
   */
  async next(signal: AbortSignal): Promise<readonly TaskEvent[]> {
    for (;;) {
      if (this.#isCut) throw new FollowerCutError();
      if (this.#queue.length > 0) {
        const heard = this.#queue;
        this.#queue = [];
        return heard;
      }
      this.#heard = Promise.withResolvers<void>();
      await untilAborted(this.#heard.promise, signal);
    }
  }

  [Symbol.dispose](): void {
    this.#leave(this);
  }
}
