import { z } from 'zod';
import type { Env } from './env.ts';
import { httpUrl, oneOf, wholeNumber, yesOrNo } from './fields.ts';

/** Where results are kept. */
export type StorageConfig =
  | { readonly driver: 'disk' }
  | ({ readonly driver: 'oss' } & OssConfig)
  | ({ readonly driver: 's3' } & S3Config);

interface BucketConfig {
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

export interface OssConfig extends BucketConfig {
  /** The endpoint is a domain of the bucket's own. */
  readonly cname: boolean;
  readonly accessKeySecret: string | null;
  readonly stsToken: string | null;
  readonly acl: string | null;
}

export interface S3Config extends BucketConfig {
  readonly secretAccessKey: string | null;
  readonly sessionToken: string | null;
  readonly forcePathStyle: boolean;
}

const drivers = ['disk', 'oss', 's3'] as const;
const credentialKinds = ['keys', 'chain'] as const;
const acls = ['default', 'private', 'public-read', 'public-read-write'] as const;
const ossClasses = ['Standard', 'IA', 'Archive', 'ColdArchive', 'DeepColdArchive'] as const;

const prefix = z
  .string()
  .regex(/^([^/]+\/)*$/, 'must be empty or end with / and not begin with one')
  .default('outputs/');
/** Signatures of version 4 hold for a week at most. */
const signedSeconds = wholeNumber(1, 7 * 24 * 3_600).optional();

export const storageSettings = {
  STORAGE: oneOf(drivers).default('disk'),
  OSS_REGION: z.string().optional(),
  OSS_ENDPOINT: httpUrl.optional(),
  OSS_CNAME: yesOrNo.default(false),
  OSS_BUCKET: z.string().optional(),
  OSS_CREDENTIALS: oneOf(credentialKinds).default('keys'),
  OSS_ACCESS_KEY_ID: z.string().optional(),
  OSS_ACCESS_KEY_SECRET: z.string().optional(),
  OSS_STS_TOKEN: z.string().optional(),
  OSS_PREFIX: prefix,
  OSS_PUBLIC_URL: httpUrl.optional(),
  OSS_SIGN_URLS: signedSeconds,
  OSS_ACL: oneOf(acls).optional(),
  OSS_STORAGE_CLASS: oneOf(ossClasses).optional(),
  S3_REGION: z.string().optional(),
  S3_ENDPOINT: httpUrl.optional(),
  S3_FORCE_PATH_STYLE: yesOrNo.default(false),
  S3_BUCKET: z.string().optional(),
  S3_CREDENTIALS: oneOf(credentialKinds).default('keys'),
  S3_ACCESS_KEY_ID: z.string().optional(),
  S3_SECRET_ACCESS_KEY: z.string().optional(),
  S3_SESSION_TOKEN: z.string().optional(),
  S3_PREFIX: prefix,
  S3_PUBLIC_URL: httpUrl.optional(),
  S3_SIGN_URLS: signedSeconds,
  S3_STORAGE_CLASS: z
    .string()
    .regex(/^[A-Z0-9_]+$/, 'must be in capital letters')
    .optional(),
};

const read = z.object(storageSettings);

/** What a driver cannot do without. */
const required = {
  disk: { always: [], keys: [] },
  oss: {
    always: ['OSS_REGION', 'OSS_BUCKET'],
    keys: ['OSS_ACCESS_KEY_ID', 'OSS_ACCESS_KEY_SECRET'],
  },
  s3: { always: ['S3_REGION', 'S3_BUCKET'], keys: ['S3_ACCESS_KEY_ID', 'S3_SECRET_ACCESS_KEY'] },
} as const;

/** One problem for each variable that the chosen driver lacks. */
export function missingForStorage(env: Env): string[] {
  const driver = drivers.find((each) => each === env.STORAGE) ?? 'disk';
  const credentials = env[`${driver.toUpperCase()}_CREDENTIALS`];
  const { always, keys } = required[driver];
  const needed = credentials === 'chain' ? always : [...always, ...keys];
  return needed
    .filter((name) => !env[name])
    .map((name) => `${name} must be set when STORAGE is ${driver}`);
}

/** Of settings of which none is missing. */
export function storageConfig(data: z.infer<typeof read>): StorageConfig {
  if (data.STORAGE === 'disk') return { driver: 'disk' };
  if (data.STORAGE === 's3') {
    const hasKeys = data.S3_CREDENTIALS === 'keys';
    return {
      driver: 's3',
      region: data.S3_REGION as string,
      endpoint: data.S3_ENDPOINT ?? null,
      forcePathStyle: data.S3_FORCE_PATH_STYLE,
      bucket: data.S3_BUCKET as string,
      accessKeyId: (hasKeys && data.S3_ACCESS_KEY_ID) || null,
      secretAccessKey: (hasKeys && data.S3_SECRET_ACCESS_KEY) || null,
      sessionToken: (hasKeys && data.S3_SESSION_TOKEN) || null,
      prefix: data.S3_PREFIX,
      publicUrl: data.S3_PUBLIC_URL ?? null,
      signedUrlSeconds: data.S3_SIGN_URLS ?? null,
      storageClass: data.S3_STORAGE_CLASS ?? null,
    };
  }
  const hasKeys = data.OSS_CREDENTIALS === 'keys';
  return {
    driver: 'oss',
    region: data.OSS_REGION as string,
    endpoint: data.OSS_ENDPOINT ?? null,
    cname: data.OSS_CNAME,
    bucket: data.OSS_BUCKET as string,
    accessKeyId: (hasKeys && data.OSS_ACCESS_KEY_ID) || null,
    accessKeySecret: (hasKeys && data.OSS_ACCESS_KEY_SECRET) || null,
    stsToken: (hasKeys && data.OSS_STS_TOKEN) || null,
    prefix: data.OSS_PREFIX,
    publicUrl: data.OSS_PUBLIC_URL ?? null,
    signedUrlSeconds: data.OSS_SIGN_URLS ?? null,
    acl: data.OSS_ACL ?? null,
    storageClass: data.OSS_STORAGE_CLASS ?? null,
  };
}
