import { BucketStore, type BucketStoreOptions } from './bucket-store.ts';
import { S3Bucket, type S3StorageOptions } from './s3-bucket.ts';

export type S3StoreOptions = S3StorageOptions & BucketStoreOptions;

/** Objects in a bucket of a service that speaks S3. */
export class S3Store extends BucketStore {
  constructor(options: S3StoreOptions) {
    super(new S3Bucket(options), options);
  }
}
