import type { z } from 'zod';
import { GatewayError } from '../../core/errors.ts';
import type { IssuedKey, KeyControl, KeyGrant, KeyView } from '../../core/key.ts';
import { answers } from '../../http/keys.ts';

/** A gateway that does not answer for this time is not waited for. */
const answerDeadlineMs = 30_000;

/** The keys of a gateway that runs, by way of its `/keys`. The actor is whoever has the key. */
export class RemoteKeys implements KeyControl {
  readonly #url: string;
  readonly #key: string | undefined;

  /** `key`: of an admin, where the gateway asks for one. */
  constructor(url: string, key: string | undefined) {
    this.#url = url.replace(/\/+$/, '');
    this.#key = key;
  }

  async list(): Promise<readonly KeyView[]> {
    return answers.list.parse(await this.#ask('GET', '/keys')).keys.map(viewOf);
  }

  async create(_actor: string, grant: KeyGrant): Promise<IssuedKey> {
    const { expiresAt, ...same } = grant;
    const body = { ...same, expires_at: expiresAt?.toISOString() ?? null };
    return issuedOf(await this.#ask('POST', '/keys', body));
  }

  async rotate(_actor: string, id: string, graceMs: number): Promise<IssuedKey> {
    const body = { grace_seconds: graceMs / 1_000 };
    return issuedOf(await this.#ask('POST', `/keys/${encodeURIComponent(id)}/rotate`, body));
  }

  async revoke(_actor: string, id: string): Promise<void> {
    await this.#ask('DELETE', `/keys/${encodeURIComponent(id)}`);
  }

  async #ask(method: string, path: string, body?: object): Promise<unknown> {
    const response = await fetch(this.#url + path, {
      method,
      signal: AbortSignal.timeout(answerDeadlineMs),
      headers: {
        ...(this.#key ? { authorization: `Bearer ${this.#key}` } : {}),
        ...(body ? { 'content-type': 'application/json' } : {}),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    }).catch((error) => {
      throw new GatewayError('unavailable', `The gateway at ${this.#url} does not answer`, {
        cause: error,
      });
    });
    const answer: unknown = await response.json().catch(() => null);
    if (response.ok) return answer;
    const why = messageIn(answer) ?? `status ${response.status}`;
    throw new GatewayError('invalid_request', `The gateway at ${this.#url} refuses: ${why}`);
  }
}

function messageIn(answer: unknown): string | null {
  if (typeof answer !== 'object' || answer === null || !('message' in answer)) return null;
  return typeof answer.message === 'string' ? answer.message : null;
}

function issuedOf(answer: unknown): IssuedKey {
  const issued = answers.issued.parse(answer);
  return { ...viewOf(issued), key: issued.key };
}

function viewOf(key: z.infer<typeof answers.list>['keys'][number]): KeyView {
  const { id, name, tenant, scopes, created_at, expires_at, last_used_at } = key;
  return {
    ...{ id, name, tenant, scopes },
    createdAt: new Date(created_at),
    expiresAt: expires_at === null ? null : new Date(expires_at),
    lastUsedAt: last_used_at === null ? null : new Date(last_used_at),
  };
}
