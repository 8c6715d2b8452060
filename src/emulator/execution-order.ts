/**
 * Which node runs next. Of the nodes whose inputs are there, ComfyUI takes an output first, then one
 * that an output waits for, then one two steps away from an output, then the oldest.
 */
import { isLink, type Prompt } from './wire.ts';

export class ExecutionOrder {
  readonly #prompt: Prompt;
  readonly #isOutput: (id: string) => boolean;
  /** By pending node: how many pending nodes it waits for. */
  readonly #waitsFor = new Map<string, number>();
  /** By pending node: the nodes that wait for it. */
  readonly #blocks = new Map<string, Set<string>>();

  /** A cached ancestor is not pending: what needs it takes its outputs from the cache. */
  constructor(
    prompt: Prompt,
    outputs: readonly string[],
    isCached: (id: string) => boolean,
    isOutput: (id: string) => boolean,
  ) {
    this.#prompt = prompt;
    this.#isOutput = isOutput;
    for (const output of outputs) this.#add(output, isCached);
  }

  get pending(): readonly string[] {
    return [...this.#waitsFor.keys()];
  }

  next(): string | null {
    const ready = this.pending.filter((id) => this.#waitsFor.get(id) === 0);
    const blocksOutput = (id: string) => this.#blockedBy(id).some(this.#isOutput);
    return (
      ready.find(this.#isOutput) ??
      ready.find(blocksOutput) ??
      ready.find((id) => this.#blockedBy(id).some(blocksOutput)) ??
      ready[0] ??
      null
    );
  }

  complete(id: string): void {
    for (const blocked of this.#blockedBy(id)) {
      this.#waitsFor.set(blocked, (this.#waitsFor.get(blocked) ?? 1) - 1);
    }
    this.#waitsFor.delete(id);
    this.#blocks.delete(id);
  }

  #blockedBy(id: string): readonly string[] {
    return [...(this.#blocks.get(id) ?? [])];
  }

  /** Depth first from an output, the last named input first. */
  #add(output: string, isCached: (id: string) => boolean): void {
    const stack = [output];
    const links: (readonly [from: string, to: string])[] = [];
    for (let id = stack.pop(); id !== undefined; id = stack.pop()) {
      if (this.#waitsFor.has(id)) continue;
      this.#waitsFor.set(id, 0);
      this.#blocks.set(id, new Set());
      for (const value of Object.values(this.#prompt[id]?.inputs ?? {})) {
        if (!isLink(value) || isCached(value[0])) continue;
        stack.push(value[0]);
        links.push([value[0], id]);
      }
    }
    for (const [from, to] of links) {
      const blocked = this.#blocks.get(from);
      if (blocked === undefined || blocked.has(to)) continue;
      blocked.add(to);
      this.#waitsFor.set(to, (this.#waitsFor.get(to) ?? 0) + 1);
    }
  }
}
