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
        for (const node of message.data.nodes) this.#done.add(node);
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
    if (this.#current) this.#done.add(this.#current);
    this.#current = node;
    this.#share = 0;
  }

  #report(): StageProgress {
    // Without the graph the number of nodes is not known; a few is a fair guess.
    const nodes = this.#prompt ? Object.keys(this.#prompt).length : 5;
    const fraction = Math.min((this.#done.size + Math.min(this.#share, 1)) / nodes, 0.99);
    this.#highest = Math.max(this.#highest, Math.floor(fraction * 100));
    const title = this.#current && this.#prompt ? titleOf(this.#prompt, this.#current) : null;
    return { progress: this.#highest, detail: title ?? 'Processing' };
  }
}
