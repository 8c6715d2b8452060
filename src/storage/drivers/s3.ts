import { z } from 'zod';
import { httpUrl, yesOrNo } from '../../config/fields.ts';
import {
  type BucketSettings,
  credentials,
  keyPrefix,
  openBucket,
  signedSeconds,
} from './bucket.ts';
import type { Driver } from './driver.ts';

export interface S3Settings extends BucketSettings {
  readonly driver: 's3';
  readonly secretAccessKey: string | null;
  readonly sessionToken: string | null;
  readonly forcePathStyle: boolean;
}

const variables = z.object({
  S3_REGION: z.string().optional(),
  S3_ENDPOINT: httpUrl.optional(),
  S3_FORCE_PATH_STYLE: yesOrNo.default(false),
  S3_BUCKET: z.string().optional(),
  S3_CREDENTIALS: credentials,
  S3_ACCESS_KEY_ID: z.string().optional(),
  S3_SECRET_ACCESS_KEY: z.string().optional(),
  S3_SESSION_TOKEN: z.string().optional(),
  S3_PREFIX: keyPrefix,
  S3_PUBLIC_URL: httpUrl.optional(),
  S3_SIGN_URLS: signedSeconds,
  S3_STORAGE_CLASS: z
    .string()
    .regex(/^[A-Z0-9_]+$/, 'must be in capital letters')
    .optional(),
});

/** A bucket of a service that speaks S3. */
export const s3Driver: Driver<S3Settings> = {
  name: 's3',
  variables: variables.shape,
  prefix: 'S3_',
  scheme: 's3',
  required: ({ S3_CREDENTIALS }) => [
    'S3_REGION',
    'S3_BUCKET',
    ...(S3_CREDENTIALS === 'chain' ? [] : ['S3_ACCESS_KEY_ID', 'S3_SECRET_ACCESS_KEY']),
  ],
  read(values: z.infer<typeof variables>) {
    const hasKeys = values.S3_CREDENTIALS === 'keys';
    return {
      driver: 's3',
      region: values.S3_REGION as string,
      endpoint: values.S3_ENDPOINT ?? null,
      forcePathStyle: values.S3_FORCE_PATH_STYLE,
      bucket: values.S3_BUCKET as string,
      accessKeyId: (hasKeys && values.S3_ACCESS_KEY_ID) || null,
      secretAccessKey: (hasKeys && values.S3_SECRET_ACCESS_KEY) || null,
      sessionToken: (hasKeys && values.S3_SESSION_TOKEN) || null,
      prefix: values.S3_PREFIX,
      publicUrl: values.S3_PUBLIC_URL ?? null,
      signedUrlSeconds: values.S3_SIGN_URLS ?? null,
      storageClass: values.S3_STORAGE_CLASS ?? null,
    };
  },
  async open(settings, options) {
    const { S3Store } = await import('../s3-store.ts');
    const { publicUrlOf } = await import('../s3-bucket.ts');
    const address = { scheme: 's3', url: publicUrlOf(settings) };
    return openBucket(settings, address, options, (each) => new S3Store(each));
  },
};
