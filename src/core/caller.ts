/** What a key lets its bearer do. `docs/keys.md` tells it of every request. */
export const scopes = [
  'tasks:write',
  'tasks:read',
  'graphs',
  'workflows:write',
  'backends:write',
  'admin',
] as const;
export type Scope = (typeof scopes)[number];

/** What a key of a client may do, where nothing else is said of it. */
export const clientScopes: readonly Scope[] = ['tasks:write', 'tasks:read'];

/** Who sent a request. */
export interface Caller {
  /** Whose tasks they are that come with it. */
  readonly tenant: string;
  /** The name of its key; empty where no keys are asked for. */
  readonly key: string;
  readonly scopes: ReadonlySet<Scope>;
}

/** Without keys, whoever reaches the gateway is everybody. */
export const everybody: Caller = { tenant: '', key: '', scopes: new Set(['admin']) };

/** Whether the caller's key has the scope; `admin` is all of them. */
export function may({ scopes }: Pick<Caller, 'scopes'>, scope: Scope): boolean {
  return scopes.has(scope) || scopes.has('admin');
}

export function isScope(word: unknown): word is Scope {
  return (scopes as readonly unknown[]).includes(word);
}

/** On whose account something is asked for. */
export interface Account {
  readonly tenant: string;
  /** Whether quotas hold for it; for operators, that of the queue alone does. */
  readonly isLimited: boolean;
}

export function accountOf(caller: Caller): Account {
  return { tenant: caller.tenant, isLimited: !may(caller, 'admin') };
}
