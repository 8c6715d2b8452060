import type { z } from 'zod';
import type { Tempo } from '../../core/tempo.ts';
import type { ObjectStore, OwnSources } from '../object-store.ts';

/** One way to keep results: what is set for it, and how a store of it is opened. */
export interface Driver<Settings extends DriverSettings> {
  /** As `STORAGE` has it. */
  readonly name: Settings['driver'];
  readonly variables: Readonly<Record<string, z.ZodType>>;
  /** What its variables begin with; `null` where it has none. */
  readonly prefix: string | null;
  /** Of addresses that name its objects: `oss` for `oss://bucket/key`; `null` where none do. */
  readonly scheme: string | null;
  /** Those of its variables that it cannot do without, given the others. */
  required(env: Readonly<Record<string, string | undefined>>): readonly string[];
  /** Of variables that are valid, with none missing. */
  read(values: Readonly<Record<string, unknown>>): Settings;
  /** Its client is loaded here: that takes a tenth of a second and memory, which others do not owe. */
  open(settings: Settings, options: OpenOptions): Promise<OpenStore>;
}

export interface DriverSettings {
  readonly driver: string;
}

export interface OpenOptions {
  /** Where a store on our disk is. */
  readonly folder: string;
  /** Where clients reach the gateway; `null` where nobody said it. */
  readonly publicUrl: string | null;
  /** Whether an address has a host and a port by which the gateway is reached. */
  readonly isOurs: (address: URL) => boolean;
  readonly tempo: Tempo['store'];
  /** Closes what has to be closed. */
  readonly parts: AsyncDisposableStack;
}

export interface OpenStore {
  readonly store: ObjectStore;
  readonly ownSources: OwnSources;
}
