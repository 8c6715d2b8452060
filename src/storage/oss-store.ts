import { BucketStore, type BucketStoreOptions } from './bucket-store.ts';
import { OssBucket, type OssStorageOptions } from './oss-bucket.ts';
import { OssCredentialChain } from './oss-credentials.ts';

export type OssStoreOptions = OssStorageOptions & BucketStoreOptions;

/** Objects in a bucket of Aliyun OSS. */
export class OssStore extends BucketStore {
  constructor(options: OssStoreOptions) {
    super(new OssBucket(options), options);
  }
}

/** With Aliyun's own chain of credentials where no keys are given. */
export function openOssStore(options: OssStoreOptions): OssStore {
  const credentials = options.accessKeyId ? null : new OssCredentialChain();
  return new OssStore({ credentials, ...options });
}
