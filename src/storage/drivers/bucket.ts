import { z } from 'zod';
import { oneOf, wholeNumber } from '../../config/fields.ts';
import { BucketSources } from '../bucket-sources.ts';
import type { BucketStore, BucketStoreOptions } from '../bucket-store.ts';
import type { OpenOptions, OpenStore } from './driver.ts';

/** What is set for every bucket, whatever its protocol. */
export interface BucketSettings {
  readonly region: string;
  /** Where the service is reached, if not at its own address. */
  readonly endpoint: string | null;
  readonly bucket: string;
  /** `null` where temporary credentials are fetched. */
  readonly accessKeyId: string | null;
  readonly prefix: string;
  readonly publicUrl: string | null;
  readonly storageClass: string | null;
  /** `null`: links are not signed. */
  readonly signedUrlSeconds: number | null;
}

export const credentials = oneOf(['keys', 'chain']).default('keys');

export const keyPrefix = z
  .string()
  .regex(/^([^/]+\/)*$/, 'must be empty or end with / and not begin with one')
  .default('outputs/');

/** Signatures of version 4 hold for a week at most. */
export const signedSeconds = wholeNumber(1, 7 * 24 * 3_600).optional();

export interface BucketAddress {
  readonly scheme: string;
  /** Where the bucket is reached, by its settings. */
  readonly url: string;
}

/** Opens the store of results, and the whole bucket as a place that sources come from. */
export function openBucket<Settings extends BucketSettings>(
  settings: Settings,
  { scheme, url }: BucketAddress,
  { tempo, parts }: OpenOptions,
  open: (options: Settings & BucketStoreOptions) => BucketStore,
): OpenStore {
  const store = parts.use(open({ ...settings, tuning: tempo }));
  const whole = parts.use(open({ ...settings, tuning: tempo, prefix: '' }));
  const names = { scheme, bucket: settings.bucket, urls: urlsOf(url, settings) };
  return { store, ownSources: new BucketSources(whole, names) };
}

/** Where clients may take the objects of a bucket to be, also from inside of Aliyun's network. */
function urlsOf(bucketUrl: string, { publicUrl }: BucketSettings): string[] {
  const internalUrl = bucketUrl.replace(/(?<!-internal)\.aliyuncs\.com$/, '-internal.aliyuncs.com');
  return [bucketUrl, internalUrl, ...(publicUrl ? [publicUrl] : [])];
}
