import { createHash } from 'node:crypto';

/**
 * Keeps one copy of values that are alike, for as long as somebody holds it: the servers of a pool
 * describe the same nodes, and each description takes megabytes.
 */
export class InternTable<Value extends object> {
  readonly #values = new Map<string, WeakRef<Value>>();
  readonly #maxLength: number;
  /** Of the descriptions of all values that are held, characters. */
  #length = 0;
  readonly #forgotten = new FinalizationRegistry<Described>(({ key, length }) => {
    this.#length -= length;
    // Another copy may have come since.
    if (!this.#values.get(key)?.deref()) this.#values.delete(key);
  });

  /** `maxLength`: how long the descriptions of all values that are held may be, characters. */
  constructor(maxLength = Number.POSITIVE_INFINITY) {
    this.#maxLength = maxLength;
  }

  /** How many values are held. */
  get size(): number {
    return this.#values.size;
  }

  /**
   * The value that was made of the same description before, or a new one.
   *
   * @throws RangeError when there is no room for a new one.
   */
  intern(description: unknown, make: () => Value): Value {
    const text = JSON.stringify(description);
    const { length } = text;
    const key = createHash('sha1').update(text).digest('base64');
    const known = this.#values.get(key)?.deref();
    if (known) return known;
    if (this.#length + length > this.#maxLength) {
      throw new RangeError(`no more than ${this.#maxLength} characters are kept of all servers`);
    }
    const value = make();
    this.#values.set(key, new WeakRef(value));
    this.#forgotten.register(value, { key, length });
    this.#length += length;
    return value;
  }
}

interface Described {
  readonly key: string;
  readonly length: number;
}
