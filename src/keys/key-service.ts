import type { Audit } from '../audit/audit.ts';
import { GatewayError, invalidField } from '../core/errors.ts';
import type { IssuedKey, KeyControl, KeyGrant, KeyView } from '../core/key.ts';
import { reaching } from '../db/errors.ts';
import type { ChangedKey, KeyStore } from './key-store.ts';
import { makeKey } from './key-text.ts';

export interface KeyServiceParts {
  readonly store: Pick<KeyStore, 'list' | 'add' | 'rotate' | 'revoke'>;
  readonly audit: Pick<Audit, 'recorded'>;
  /** Whoever knows keys in this process hears that one has changed. */
  readonly changed: () => void;
}

/** As names of keys are in the settings. */
const name = /^[A-Za-z0-9][\w.-]{0,63}$/;

/** What operators do with the keys of the table. */
export class KeyService implements KeyControl {
  readonly #parts: KeyServiceParts;

  constructor(parts: KeyServiceParts) {
    this.#parts = parts;
  }

  async list(): Promise<readonly KeyView[]> {
    return await reaching(this.#parts.store.list());
  }

  async create(actor: string, grant: KeyGrant): Promise<IssuedKey> {
    check(grant);
    const made = makeKey();
    const added = await reaching(this.#parts.store.add(actor, made, grant));
    if (!added) throw new GatewayError('key_exists', `There is a key of the name ${grant.name}`);
    return { ...this.#recordChange(added), key: made.key };
  }

  async rotate(actor: string, id: string, graceMs: number): Promise<IssuedKey> {
    const made = makeKey(id);
    const rotated = await reaching(this.#parts.store.rotate(actor, made, graceMs));
    return { ...this.#recordChange(rotated), key: made.key };
  }

  async revoke(actor: string, id: string): Promise<void> {
    this.#recordChange(await reaching(this.#parts.store.revoke(actor, id)));
  }

  #recordChange(change: ChangedKey | null): KeyView {
    if (!change) throw new GatewayError('key_unknown', 'There is no such key');
    this.#parts.changed();
    this.#parts.audit.recorded(change.act);
    return change.view;
  }
}

function check(grant: KeyGrant): void {
  for (const field of ['name', 'tenant'] as const) {
    if (!name.test(grant[field])) {
      const reason = 'must be 1 to 64 letters, digits, dots, dashes and underscores';
      throw invalidField(field, `${reason}, and begin with a letter or digit`);
    }
  }
  if (grant.scopes.length === 0) throw invalidField('scopes', 'must name a scope');
  if (grant.expiresAt && grant.expiresAt.getTime() <= Date.now()) {
    throw invalidField('expires_at', 'must lie ahead');
  }
}
