import type { z } from 'zod';
import { oneOf } from '../config/fields.ts';
import { diskDriver } from './drivers/disk.ts';
import type { Driver, OpenOptions, OpenStore } from './drivers/driver.ts';
import { ossDriver } from './drivers/oss.ts';
import { s3Driver } from './drivers/s3.ts';

/** All there are; the first one where nothing is set. */
const known = [diskDriver, ossDriver, s3Driver] as const;

/** Where results are kept. */
export type StorageConfig = ReturnType<(typeof known)[number]['read']>;

const drivers: readonly Driver<StorageConfig>[] = known;

/** The variables of all drivers, and the one that chooses. */
export const storageVariables: Readonly<Record<string, z.ZodType>> = {
  STORAGE: oneOf(drivers.map(({ name }) => name)).default(diskDriver.name),
  ...Object.fromEntries(drivers.flatMap(({ variables }) => Object.entries(variables))),
};

/** What their variables begin with. */
export const storagePrefixes = drivers.flatMap(({ prefix }) => prefix ?? []);

/** Of addresses that name objects in buckets: `oss` for `oss://bucket/key`. */
export const bucketSchemes = drivers.flatMap(({ scheme }) => scheme ?? []);

/** One problem for each variable that the chosen driver lacks. */
export function missingForStorage(env: Readonly<Record<string, string | undefined>>): string[] {
  const driver = driverOf(env.STORAGE);
  return driver
    .required(env)
    .filter((name) => !env[name])
    .map((name) => `${name} must be set when STORAGE is ${driver.name}`);
}

/** Of variables that are valid, with none missing. */
export function storageConfig(values: Readonly<Record<string, unknown>>): StorageConfig {
  return driverOf(values.STORAGE).read(values);
}

export async function openStore(config: StorageConfig, options: OpenOptions): Promise<OpenStore> {
  return await driverOf(config.driver).open(config, options);
}

function driverOf(name: unknown): Driver<StorageConfig> {
  return drivers.find((driver) => driver.name === name) ?? diskDriver;
}
