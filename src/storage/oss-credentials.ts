import { BucketError, noCredentials } from './bucket-error.ts';

export interface OssKeys {
  readonly accessKeyId: string;
  readonly accessKeySecret: string;
  readonly stsToken: string | undefined;
}

export interface OssCredentials {
  get(): Promise<OssKeys>;
  /** The service refused what `get` gave last. */
  forget(): void;
}

/**
 * Temporary credentials from where Aliyun's own tools take them (`@alicloud/credentials`): its
 * environment variables, an OIDC role (RRSA), a profile file, the ECS instance's RAM role, a
 * credentials URI. They are fetched again a while before they run out.
 */
export class OssCredentialChain implements OssCredentials {
  #chain: Promise<Chain> | null = null;

  async get(): Promise<OssKeys> {
    this.#chain ??= openChain();
    try {
      const chain = await this.#chain;
      const { accessKeyId, accessKeySecret, securityToken } = await chain.getCredential();
      if (!accessKeyId || !accessKeySecret) throw new Error('No keys');
      return { accessKeyId, accessKeySecret, stsToken: securityToken || undefined };
    } catch {
      // The chain would go on asking the last of its places alone.
      this.forget();
      throw new BucketError({ code: noCredentials, status: null, requestId: null });
    }
  }

  forget(): void {
    this.#chain = null;
  }
}

interface Chain {
  getCredential(): Promise<{
    accessKeyId?: string;
    accessKeySecret?: string;
    securityToken?: string;
  }>;
}

async function openChain(): Promise<Chain> {
  const { default: module } = await import('@alicloud/credentials');
  // A CommonJS module with a default export of its own.
  const Credential = 'default' in module ? module.default : module;
  return new (Credential as new () => Chain)();
}
