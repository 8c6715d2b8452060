import type { Scope } from './caller.ts';

/** What a key is made for. */
export interface KeyGrant {
  /** Among keys that are not revoked there is one of each name. */
  readonly name: string;
  /** Whose tasks they are that come with it. */
  readonly tenant: string;
  readonly scopes: readonly Scope[];
  /** `null`: it has no end. */
  readonly expiresAt: Date | null;
}

/** A key as operators see it. */
export interface KeyView extends KeyGrant {
  readonly id: string;
  readonly createdAt: Date;
  /** To within a few seconds; `null`: never. */
  readonly lastUsedAt: Date | null;
}

/** A key on the only occasion on which it is shown. */
export interface IssuedKey extends KeyView {
  readonly key: string;
}

/** What operators do with keys. `actor`: who does. */
export interface KeyControl {
  /**
   * Those that are not revoked, the oldest first.
   *
   * @throws GatewayError `unavailable`.
   */
  list(): Promise<readonly KeyView[]>;
  /** @throws GatewayError `invalid_request`; `key_exists` when another key has the name; `unavailable`. */
  create(actor: string, grant: KeyGrant): Promise<IssuedKey>;
  /**
   * Makes another key of the same id. That of before goes on for so many milliseconds.
   *
   * @throws GatewayError `key_unknown`, `unavailable`.
   */
  rotate(actor: string, id: string, graceMs: number): Promise<IssuedKey>;
  /** @throws GatewayError `key_unknown`, `unavailable`. */
  revoke(actor: string, id: string): Promise<void>;
}
