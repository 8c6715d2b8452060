/** Kinds of sessions, in Postgres' words (`target_session_attrs`). */
const sessionKinds = [
  'any',
  'read-write',
  'read-only',
  'primary',
  'standby',
  'prefer-standby',
] as const;
/** Postgres' `sslmode`. */
const tlsModes = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
type TlsMode = (typeof tlsModes)[number];

const standardPort = 5432;

/** Where a Postgres is and how to speak with it. Files are named here, not read. */
export interface DatabaseAddress {
  /** Names, addresses or folders of Unix sockets, in the order in which they are tried. */
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  /** `null`: the driver's defaults, as `psql` has them. */
  readonly database: string | null;
  readonly user: string | null;
  readonly password: string | null;
  readonly tls: {
    readonly mode: TlsMode;
    /** TLS from the first byte on, without asking the server for it. */
    readonly isDirect: boolean;
    /** Paths of PEM files. Without a root, certificates are checked against those of Node. */
    readonly root: string | null;
    readonly certificate: string | null;
    readonly key: string | null;
  };
  readonly sessionKind: (typeof sessionKinds)[number];
  /** Seconds until a connection must be ready; `null`: the gateway's own limit. */
  readonly connectSeconds: number | null;
  /** Seconds of silence until TCP probes a connection, 0: never; `null`: the gateway's own. */
  readonly keepAliveSeconds: number | null;
  /** The schema of the gateway's tables; `null`: the first that the role sees. */
  readonly schema: string | null;
  /** Postgres' `search_path` as it was given. */
  readonly searchPath: string | null;
  /** More parameters of the startup message. */
  readonly startup: Readonly<Record<string, string>>;
}

/** Parameters of other clients that need nothing to be done. */
const ignored = [
  'keepalives_interval',
  'keepalives_count',
  'tcp_user_timeout',
  // Prisma's wish for no prepared statements: the start finds out what a pooler can do.
  'pgbouncer',
];

/**
 * Reads a `postgres://` URL with the parameters of Postgres' own clients, and those that hosts add.
 *
 * @throws Error with a sentence that follows the name of the setting, and holds no password.
 */
export function parseDatabaseAddress(url: string): DatabaseAddress {
  const { authority, path, query } = partsOf(url);
  const given = new Map(new URLSearchParams(query));
  const take = (name: string): string | null => {
    const value = given.get(name);
    given.delete(name);
    return value || null;
  };
  for (const name of ignored) take(name);
  const address: DatabaseAddress = {
    hosts: hostsOf(take('host') ?? authority.hosts, take('port')),
    database: take('dbname') ?? path,
    user: take('user') ?? authority.user,
    password: take('password') ?? authority.password,
    tls: tlsOf(take),
    sessionKind:
      oneOf('target_session_attrs', sessionKinds, take('target_session_attrs')) ?? 'read-write',
    connectSeconds: seconds('connect_timeout', take('connect_timeout')) || null,
    keepAliveSeconds: keepAliveOf(take),
    schema: take('schema'),
    searchPath: take('search_path'),
    startup: startupOf(take),
  };
  if (oneOf('gssencmode', ['disable', 'prefer', 'require'], take('gssencmode')) === 'require') {
    throw new Error(
      'asks for gssencmode=require, but the gateway can encrypt by TLS only (sslmode)',
    );
  }
  if (!/^(UTF-?8)?$/i.test(take('client_encoding') ?? '')) {
    throw new Error('has a client_encoding other than UTF8');
  }
  if (given.size > 0) throw unknownParameters([...given.keys()]);
  return address;
}

/** Behind an `&` that is not percent-encoded, a password goes on as a name. */
function unknownParameters(given: readonly string[]): Error {
  const names = given.filter((name) => /^[A-Za-z_]{1,40}$/.test(name));
  if (names.length < given.length) {
    return new Error('has a parameter without a name; & and = in a value are percent-encoded');
  }
  return new Error(
    `has parameters that the gateway does not know: ${names.join(', ')}. Remove them`,
  );
}

/** `host:port/database`, for people. */
export function describeAddress({ hosts, database }: DatabaseAddress): string {
  const places = hosts.map(
    ({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`,
  );
  return `${places.join(',')}/${database ?? ''}`;
}

type Take = (name: string) => string | null;

/** `URL` knows neither several hosts nor sockets. */
function partsOf(url: string) {
  const [, place, path = '', query = ''] =
    /^postgres(?:ql)?:\/\/([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/.exec(url) ?? [];
  if (place === undefined) throw notUrl();
  const at = place.lastIndexOf('@');
  const [user = '', ...password] = place.slice(0, Math.max(at, 0)).split(':');
  return {
    authority: {
      hosts: decoded(place.slice(at + 1)),
      user: decoded(user) || null,
      password: decoded(password.join(':')) || null,
    },
    path: decoded(path) || null,
    query,
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw notUrl();
  }
}

function notUrl(): Error {
  return new Error('must be a postgres:// URL; special characters in it are percent-encoded');
}

/** `a:5432,b`, `[::1]:5432`, `/var/run/postgresql`. */
function hostsOf(text: string, ports: string | null): DatabaseAddress['hosts'] {
  const others = ports?.split(',') ?? [];
  return text.split(',').map((entry, i) => {
    const [, v6, name = entry, port] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d*))?$/.exec(entry) ?? [];
    return {
      host: (v6 ?? name) || 'localhost',
      port: portOf(others[i] ?? others[0] ?? port ?? ''),
    };
  });
}

function portOf(text: string): number {
  if (text === '') return standardPort;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port > 0 && port <= 65_535) return port;
  throw new Error('has a port that is no number from 1 to 65535');
}

function tlsOf(take: Take): DatabaseAddress['tls'] {
  const words = new Map<string | null, string>([
    ['true', 'require'],
    ['1', 'require'],
    ['no-verify', 'require'],
    ['false', 'disable'],
    ['0', 'disable'],
  ]);
  const ssl = take('ssl');
  const sslmode = take('sslmode') ?? words.get(ssl) ?? ssl;
  const mode = oneOf('sslmode', tlsModes, words.get(sslmode) ?? sslmode);
  const root = take('sslrootcert');
  const binding = oneOf(
    'channel_binding',
    ['disable', 'prefer', 'require'],
    take('channel_binding'),
  );
  if (binding === 'require' && mode === 'disable') {
    throw new Error('asks for channel_binding=require without TLS (sslmode)');
  }
  const isDirect =
    oneOf('sslnegotiation', ['postgres', 'direct'], take('sslnegotiation')) === 'direct';
  // The driver cannot bind channels. A certificate that is checked keeps others out as well.
  const isFull = binding === 'require' || root === 'system';
  // As in Postgres' own clients.
  const isChecked = root !== null && mode === 'require';
  return {
    mode: isFull ? 'verify-full' : isChecked ? 'verify-ca' : (mode ?? 'disable'),
    isDirect,
    root: root === 'system' ? null : root,
    certificate: take('sslcert'),
    key: take('sslkey'),
  };
}

function keepAliveOf(take: Take): number | null {
  const idle = seconds('keepalives_idle', take('keepalives_idle'));
  return take('keepalives') === '0' ? 0 : idle || null;
}

function startupOf(take: Take): Record<string, string> {
  const fallback = take('fallback_application_name') ?? 'tmlsr';
  const options = take('options');
  return {
    application_name: take('application_name') ?? fallback,
    ...(options ? { options } : {}),
  };
}

function seconds(name: string, value: string | null): number | null {
  if (value === null) return null;
  if (/^\d{1,6}$/.test(value)) return Number(value);
  throw new Error(`has ${name} that is no number of seconds`);
}

function oneOf<const T extends string>(
  name: string,
  words: readonly T[],
  value: string | null,
): T | null {
  const word = words.find((each) => each === value);
  if (word || value === null) return word ?? null;
  throw new Error(`has a ${name} other than ${words.join(', ')}`);
}
