/**
 * What the previous prompt left behind. A node's key is its class, its inputs, the fingerprint of
 * the file that it reads and the keys of its ancestors; node ids do not matter, unless the class
 * asks to see its own. Only what the current prompt can use again is kept.
 */
import { createHash } from 'node:crypto';
import { classes, wantsUniqueId } from './object-info.ts';
import { isLink, type NodeMeta, type Prompt } from './wire.ts';

export interface NodeUi {
  readonly output: Record<string, unknown>;
  readonly meta: NodeMeta;
}

export interface CachedNode {
  readonly outputs: readonly unknown[];
  readonly ui: NodeUi | null;
}

/** Values that hold something (a file of frames) which must go when the cache lets go of them. */
interface Releasable {
  release(): Promise<void>;
}

export class NodeCache {
  readonly #nodes = new Map<string, CachedNode>();

  get(key: string | undefined): CachedNode | undefined {
    return key === undefined ? undefined : this.#nodes.get(key);
  }

  set(key: string, node: CachedNode): void {
    this.#nodes.set(key, node);
  }

  async keepOnly(keys: Iterable<string>): Promise<void> {
    const wanted = new Set(keys);
    const before = this.#values();
    for (const key of this.#nodes.keys()) if (!wanted.has(key)) this.#nodes.delete(key);
    const gone = before.difference(this.#values());
    await Promise.all([...gone].filter(isReleasable).map((value) => value.release()));
  }

  #values(): Set<unknown> {
    return new Set([...this.#nodes.values()].flatMap((node) => node.outputs));
  }
}

function isReleasable(value: unknown): value is Releasable {
  return typeof value === 'object' && value !== null && 'release' in value;
}

/** The cache keys of a graph's nodes. A fingerprint of `null` never matches anything. */
export function nodeKeys(
  prompt: Prompt,
  fingerprints: ReadonlyMap<string, string | null>,
): Map<string, string> {
  const keys = new Map<string, string>();
  const keyOf = (id: string): string => {
    const known = keys.get(id);
    if (known !== undefined) return known;
    const node = prompt[id];
    // Only valid graphs are run, but a part that no output needs may still be dangling or cyclic.
    if (node === undefined) return `missing:${id}`;
    keys.set(id, `cycle:${id}`);
    const inputs = Object.entries(node.inputs ?? {})
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => [
        name,
        isLink(value) ? { from: keyOf(value[0]), slot: value[1] } : value,
      ]);
    const info = classes.get(node.class_type);
    const fingerprint = fingerprints.get(id);
    const key = hash([
      node.class_type,
      info !== undefined && wantsUniqueId(info) ? id : '',
      fingerprint === null ? crypto.randomUUID() : (fingerprint ?? ''),
      inputs,
    ]);
    keys.set(id, key);
    return key;
  };
  for (const id of Object.keys(prompt)) keyOf(id);
  return keys;
}

function hash(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('base64url');
}
