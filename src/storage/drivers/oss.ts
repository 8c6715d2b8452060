import { z } from 'zod';
import { httpUrl, oneOf, yesOrNo } from '../../config/fields.ts';
import {
  type BucketSettings,
  credentials,
  keyPrefix,
  openBucket,
  signedSeconds,
} from './bucket.ts';
import type { Driver } from './driver.ts';

export interface OssSettings extends BucketSettings {
  readonly driver: 'oss';
  /** The endpoint is a domain of the bucket's own. */
  readonly cname: boolean;
  readonly accessKeySecret: string | null;
  readonly stsToken: string | null;
  readonly acl: string | null;
}

const variables = z.object({
  OSS_REGION: z.string().optional(),
  OSS_ENDPOINT: httpUrl.optional(),
  OSS_CNAME: yesOrNo.default(false),
  OSS_BUCKET: z.string().optional(),
  OSS_CREDENTIALS: credentials,
  OSS_ACCESS_KEY_ID: z.string().optional(),
  OSS_ACCESS_KEY_SECRET: z.string().optional(),
  OSS_STS_TOKEN: z.string().optional(),
  OSS_PREFIX: keyPrefix,
  OSS_PUBLIC_URL: httpUrl.optional(),
  OSS_SIGN_URLS: signedSeconds,
  OSS_ACL: oneOf(['default', 'private', 'public-read', 'public-read-write']).optional(),
  OSS_STORAGE_CLASS: oneOf([
    'Standard',
    'IA',
    'Archive',
    'ColdArchive',
    'DeepColdArchive',
  ]).optional(),
});

/** A bucket of Aliyun OSS. */
export const ossDriver: Driver<OssSettings> = {
  name: 'oss',
  variables: variables.shape,
  prefix: 'OSS_',
  scheme: 'oss',
  required: ({ OSS_CREDENTIALS }) => [
    'OSS_REGION',
    'OSS_BUCKET',
    ...(OSS_CREDENTIALS === 'chain' ? [] : ['OSS_ACCESS_KEY_ID', 'OSS_ACCESS_KEY_SECRET']),
  ],
  read(values: z.infer<typeof variables>) {
    const hasKeys = values.OSS_CREDENTIALS === 'keys';
    return {
      driver: 'oss',
      region: values.OSS_REGION as string,
      endpoint: values.OSS_ENDPOINT ?? null,
      cname: values.OSS_CNAME,
      bucket: values.OSS_BUCKET as string,
      accessKeyId: (hasKeys && values.OSS_ACCESS_KEY_ID) || null,
      accessKeySecret: (hasKeys && values.OSS_ACCESS_KEY_SECRET) || null,
      stsToken: (hasKeys && values.OSS_STS_TOKEN) || null,
      prefix: values.OSS_PREFIX,
      publicUrl: values.OSS_PUBLIC_URL ?? null,
      signedUrlSeconds: values.OSS_SIGN_URLS ?? null,
      acl: values.OSS_ACL ?? null,
      storageClass: values.OSS_STORAGE_CLASS ?? null,
    };
  },
  async open(settings, options) {
    const { openOssStore } = await import('../oss-store.ts');
    const { publicUrlOf } = await import('../oss-client.ts');
    const address = { scheme: 'oss', url: publicUrlOf(settings) };
    return openBucket(settings, address, options, openOssStore);
  },
};
