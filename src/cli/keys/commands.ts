import { clientScopes, isScope, type Scope, scopes } from '../../core/caller.ts';
import type { IssuedKey, KeyView } from '../../core/key.ts';
import { didYouMean } from '../../core/nearest.ts';
import { readArguments, UsageError } from '../arguments.ts';
import { parseDuration } from './durations.ts';
import type { OpenKeys } from './open-keys.ts';

const whereUsage = `  --url URL        a running gateway, such as http://127.0.0.1:6008; the variable TMLSR_KEY has an admin's key.
                   Without it, the command opens the database of the settings: DATABASE_URL, or the
                   embedded one while no gateway has it`;

const createUsage = `Makes a key and prints it, this one time: the key itself is kept nowhere.

  tmlsr keys create --name NAME [--tenant NAME] [--scopes LIST] [--expires TIME] [--url URL]

  --name NAME      the name under which its acts are recorded; each key has its own
  --tenant NAME    the owner of its tasks; default: the name
  --scopes LIST    what it may do, separated by commas: ${scopes.join(', ')};
                   default: ${clientScopes.join(',')}
  --expires TIME   when it ends: 90d, 12h, or an instant such as 2027-01-31T12:00:00Z; default: never
${whereUsage}`;

const listUsage = `Lists the keys: whose they are, what they may do, and when they were last used.

  tmlsr keys list [--json] [--url URL]

  --json           prints a JSON document
${whereUsage}`;

const rotateUsage = `Replaces a key by another one and prints that, this one time.

  tmlsr keys rotate ID [--grace TIME] [--url URL]

  --grace TIME     how long the old key still works: 1h, 2d; default: not at all
${whereUsage}`;

const revokeUsage = `Ends a key. Every gateway refuses it within a second.

  tmlsr keys revoke ID [--url URL]

${whereUsage}`;

const common = {
  url: { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

/** Of acts on the database itself there is nobody who was asked for a key. */
const nobody = '';

/**
 * `tmlsr keys create`
 *
 * @throws UsageError, ConfigError; GatewayError telling what to mend, as the others do.
 */
export async function createCommand(args: readonly string[]): Promise<void> {
  const command = 'tmlsr keys create';
  const { values } = readArguments(command, {
    args: [...args],
    options: {
      ...common,
      name: { type: 'string' },
      tenant: { type: 'string' },
      scopes: { type: 'string' },
      expires: { type: 'string' },
    },
  });
  if (values.help) return console.log(createUsage);
  const { name, tenant = name } = values;
  if (name === undefined || tenant === undefined)
    throw new UsageError(command, '--name is missing');
  const grant = {
    name,
    tenant,
    scopes: values.scopes === undefined ? clientScopes : readScopes(command, values.scopes),
    expiresAt: values.expires === undefined ? null : readEnd(command, values.expires),
  };
  await using opened = await open(values.url);
  showIssued(await opened.keys.create(nobody, grant));
}

/** `tmlsr keys list` */
export async function listCommand(args: readonly string[]): Promise<void> {
  const options = { ...common, json: { type: 'boolean', default: false } } as const;
  const { values } = readArguments('tmlsr keys list', { args: [...args], options });
  if (values.help) return console.log(listUsage);
  await using opened = await open(values.url);
  const keys = await opened.keys.list();
  if (values.json) {
    const { presentKey } = await import('../../http/keys.ts');
    console.log(JSON.stringify(keys.map(presentKey), null, 2));
  } else if (keys.length === 0) console.log('There is no key.');
  else console.log(sheet(keys));
}

/** `tmlsr keys rotate` */
export async function rotateCommand(args: readonly string[]): Promise<void> {
  const command = 'tmlsr keys rotate';
  const { values, positionals } = readArguments(command, {
    args: [...args],
    allowPositionals: true,
    options: { ...common, grace: { type: 'string', default: '0' } },
  });
  if (values.help) return console.log(rotateUsage);
  const id = readId(command, positionals);
  const graceMs = parseDuration(values.grace);
  if (graceMs === null) throw new UsageError(command, '--grace must be such as 1h or 2d');
  await using opened = await open(values.url);
  showIssued(await opened.keys.rotate(nobody, id, graceMs));
}

/** `tmlsr keys revoke` */
export async function revokeCommand(args: readonly string[]): Promise<void> {
  const command = 'tmlsr keys revoke';
  const { values, positionals } = readArguments(command, {
    args: [...args],
    allowPositionals: true,
    options: common,
  });
  if (values.help) return console.log(revokeUsage);
  const id = readId(command, positionals);
  await using opened = await open(values.url);
  await opened.keys.revoke(nobody, id);
  console.error(`The key ${id} is revoked.`);
}

/** A database or HTTP is loaded for those alone who call the command as it is meant. */
async function open(url: string | undefined): Promise<OpenKeys> {
  const { openKeys } = await import('./open-keys.ts');
  return await openKeys(url);
}

/** Only the key goes to standard output, so that it can be piped to where secrets are kept. */
function showIssued({ key, id, name, tenant, scopes, expiresAt }: IssuedKey): void {
  const end = expiresAt ? `until ${expiresAt.toISOString()}` : 'without an end';
  console.error(`${name} (${id}), of the tenant ${tenant}, ${end}, may ${scopes.join(', ')}.`);
  console.error('The key is shown this one time:');
  console.log(key);
}

function readId(command: string, positionals: readonly string[]): string {
  const [id, ...others] = positionals;
  if (id !== undefined && others.length === 0) return id;
  throw new UsageError(command, `it takes one ID, not ${positionals.length}`);
}

function readScopes(command: string, text: string): Scope[] {
  return text.split(',').map((word) => {
    const scope = word.trim();
    if (isScope(scope)) return scope;
    const hint = didYouMean(scope, scopes);
    throw new UsageError(command, `there is no scope ${JSON.stringify(scope)}${hint}`);
  });
}

function readEnd(command: string, text: string): Date {
  const afterMs = parseDuration(text);
  const end = afterMs === null ? new Date(text) : new Date(Date.now() + afterMs);
  if (!Number.isNaN(end.getTime())) return end;
  throw new UsageError(command, '--expires must be such as 90d, or an instant');
}

function sheet(keys: readonly KeyView[]): string {
  const day = (at: Date | null) => at?.toISOString().slice(0, 16).replace('T', ' ') ?? 'never';
  const rows = [
    ['ID', 'NAME', 'TENANT', 'ENDS', 'LAST USED', 'SCOPES'],
    ...keys.map(({ id, name, tenant, expiresAt, lastUsedAt, scopes }) => {
      return [id, name, tenant, day(expiresAt), day(lastUsedAt), scopes.join(',')];
    }),
  ];
  const widths = rows[0]?.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, at) => cell.padEnd(widths?.[at] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
