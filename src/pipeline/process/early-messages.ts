import type { Backend } from '../../comfyui/backend.ts';
import type { ComfyMessage } from '../../comfyui/messages.ts';

/** Keeps what is told of a prompt while it is posted: a quick one has ended before the answer comes. */
export class EarlyMessages implements Disposable {
  readonly #backend: Backend;
  readonly #promptId: string;
  readonly #messages: ComfyMessage[] = [];
  #isLost = false;

  constructor(backend: Backend, promptId: string) {
    this.#backend = backend;
    this.#promptId = promptId;
    backend.on('message', this.#keep);
    backend.on('reconnected', this.#lose);
  }

  /** Whether the socket is gone for which the prompt was posted. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** In their order. Whoever takes them listens from now on. */
  take(): readonly ComfyMessage[] {
    this[Symbol.dispose]();
    return this.#messages.splice(0);
  }

  readonly #keep = (message: ComfyMessage) => {
    // How far a node was is of no use later, and comes often.
    if (message.type === 'status' || message.type === 'progress') return;
    if (message.data.prompt_id === this.#promptId) this.#messages.push(message);
  };

  readonly #lose = () => {
    this.#isLost = true;
  };

  [Symbol.dispose](): void {
    this.#backend.off('message', this.#keep);
    this.#backend.off('reconnected', this.#lose);
  }
}
