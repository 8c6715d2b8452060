import { createHash } from 'node:crypto';

/**
 * Keeps one copy of values that are alike, for as long as somebody holds it: the servers of a pool
 * describe the same nodes, and each description takes megabytes.
 */
export class InternTable<Value extends object> {
  readonly #values = new Map<string, WeakRef<Value>>();
  readonly #forgotten = new FinalizationRegistry<string>((key) => {
    // Another copy may have come since.
    if (!this.#values.get(key)?.deref()) this.#values.delete(key);
  });

  /** How many values are held. */
  get size(): number {
    return this.#values.size;
  }

  /** The value that was made of the same description before, or a new one. */
  intern(description: unknown, make: () => Value): Value {
    const key = createHash('sha1').update(JSON.stringify(description)).digest('base64');
    const known = this.#values.get(key)?.deref();
    if (known) return known;
    const value = make();
    this.#values.set(key, new WeakRef(value));
    this.#forgotten.register(value, key);
    return value;
  }
}
