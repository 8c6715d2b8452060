import { checkObjectKey } from './object-key.ts';
import type { ByteRange, ObjectStore, OpenObject } from './object-store.ts';

export interface BucketNames {
  /** Of addresses that name the bucket itself: `oss` for `oss://bucket/key`. */
  readonly scheme: string;
  readonly bucket: string;
  /** Under which the bucket is reached over HTTP, domains of its own among them. */
  readonly urls: readonly string[];
}

/**
 * The bucket that results are kept in, as a place that sources come from: any of its objects, private
 * ones too, by the credentials of the gateway.
 */
export class BucketSources {
  readonly #whole: Pick<ObjectStore, 'open'>;
  readonly #names: BucketNames;

  /** `whole` knows the bucket's objects by their full names. */
  constructor(whole: Pick<ObjectStore, 'open'>, names: BucketNames) {
    this.#whole = whole;
    this.#names = names;
  }

  /**
   * The name of the object that the address means; `null` for any other address. One with a query may
   * ask for something else than the object, and carries its own right to it.
   */
  keyOf(url: string): string | null {
    const address = URL.parse(url);
    if (address?.search !== '') return null;
    const { scheme, bucket, urls } = this.#names;
    if (address.protocol === `${scheme}:`) {
      return address.host === bucket ? nameBelow('/', address) : null;
    }
    if (address.protocol !== 'https:' && address.protocol !== 'http:') return null;
    for (const base of urls.map((each) => new URL(each))) {
      const name = address.host === base.host ? nameBelow(folderOf(base), address) : null;
      if (name !== null) return name;
    }
    return null;
  }

  async open(
    name: string,
    range: ByteRange | null,
    signal: AbortSignal,
  ): Promise<OpenObject | null> {
    return await this.#whole.open(name, range, signal);
  }
}

function folderOf({ pathname }: URL): string {
  return pathname.endsWith('/') ? pathname : `${pathname}/`;
}

function nameBelow(folder: string, { pathname }: URL): string | null {
  if (!pathname.startsWith(folder)) return null;
  try {
    const name = decodeURIComponent(pathname.slice(folder.length));
    checkObjectKey(name);
    return name;
  } catch {
    return null;
  }
}
