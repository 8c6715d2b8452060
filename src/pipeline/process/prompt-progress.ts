import { titleOf } from '../../comfyui/errors.ts';
import type { ComfyMessage } from '../../comfyui/messages.ts';
import type { Prompt } from '../../core/bind.ts';
import type { StageProgress } from '../../core/stage.ts';

/**
 * ComfyUI tells progress by node. The whole is taken as nodes done plus the present node's share,
 * out of all nodes; it never goes back, though nodes may (ImageUpscaleWithModel starts again with
 * smaller tiles when memory runs out).
 */
export class PromptProgress {
  readonly #prompt: Prompt | null;
  readonly #done = new Set<string>();
  #current: string | null = null;
  #share = 0;
  #highest = 0;

  constructor(prompt: Prompt | null) {
    this.#prompt = prompt;
  }

  /** What the message changes, or `null` when it tells nothing new. */
  follow(message: ComfyMessage): StageProgress | null {
    switch (message.type) {
      case 'execution_cached':
        for (const node of message.data.nodes) this.#finish(node);
        return this.#report();
      case 'executing':
        this.#enter(message.data.node);
        return this.#report();
      case 'progress':
        this.#share = message.data.max > 0 ? message.data.value / message.data.max : 0;
        return this.#report();
      default:
        return null;
    }
  }

  /** Whether no other node is left to run. Nodes that never run hide that. */
  get isAtLastNode(): boolean {
    if (!this.#prompt || this.#current === null || this.#done.has(this.#current)) return false;
    return this.#done.size === Object.keys(this.#prompt).length - 1;
  }

  #enter(node: string | null): void {
    if (this.#current) this.#finish(this.#current);
    this.#current = node;
    this.#share = 0;
  }

  /** Nodes that others expand into are not in the graph. What a server names is without end. */
  #finish(node: string): void {
    if (this.#done.size < this.#nodes && (!this.#prompt || this.#prompt[node]))
      this.#done.add(node);
  }

  /** Without the graph the number of nodes is not known; a few is a fair guess. */
  get #nodes(): number {
    return this.#prompt ? Object.keys(this.#prompt).length : 5;
  }

  #report(): StageProgress {
    const done = this.#done.size + Math.min(Math.max(this.#share, 0), 1);
    const fraction = Math.min(done / this.#nodes, 0.99);
    this.#highest = Math.max(this.#highest, Math.floor(fraction * 100));
    const title = this.#current && this.#prompt ? titleOf(this.#prompt, this.#current) : null;
    return { progress: this.#highest, detail: title ?? 'Processing' };
  }
}
