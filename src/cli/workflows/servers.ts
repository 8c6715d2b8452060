import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import {
  type BackendAddress,
  type BackendEntry,
  parseBackendEntry,
} from '../../comfyui/address.ts';
import { ComfyClient } from '../../comfyui/client.ts';
import { DnsDiscovery } from '../../comfyui/discovery.ts';
import { parsePythonJson } from '../../comfyui/json.ts';
import { nodeCatalogue, objectInfo } from '../../comfyui/messages.ts';
import { GatewayError } from '../../core/errors.ts';
import { mergeCatalogues, type NodeCatalogue } from '../../core/node-catalogue.ts';
import { UsageError } from '../arguments.ts';
import { readSettings } from '../read-settings.ts';

/** A ComfyUI server and its nodes, as it tells them or as they were saved in a file. */
export type Server = KnownServer | SilentServer;

export interface KnownServer {
  /** Its address without credentials, or the file's path. */
  readonly label: string;
  readonly catalogue: NodeCatalogue;
  /** Of ComfyUI; `null` where it is not told. */
  readonly version: string | null;
  readonly problem: null;
}

export interface SilentServer {
  readonly label: string;
  readonly catalogue: null;
  readonly version: null;
  /** Why its nodes are not known. */
  readonly problem: string;
}

export const serverOptions = {
  backend: { type: 'string', multiple: true, default: [] as string[] },
  'object-info': { type: 'string', multiple: true, default: [] as string[] },
} as const;

export const serverUsage = `  --backend URL       a ComfyUI server that is asked for its nodes; may be repeated. Without one, those of
                      the setting COMFYUI_BACKENDS
  --object-info FILE  instead of a server, its answer to GET /object_info; may be repeated`;

/**
 * Asks the servers that are named, or those of the settings where none is. `savedVersion`: of ComfyUI where the files
 * were saved.
 *
 * @throws UsageError for what is no address; ConfigError.
 */
export async function askServers(
  command: string,
  named: { readonly backend: readonly string[]; readonly 'object-info': readonly string[] },
  savedVersion: string | null = null,
): Promise<Server[]> {
  const files = named['object-info'];
  const isNamed = named.backend.length > 0 || files.length > 0;
  const entries = isNamed
    ? named.backend.map((url) => entryOf(command, url))
    : ((await readSettings()).backends ?? []);
  const asked = await Promise.all([
    ...entries.map(askEntry),
    ...files.map((path) => readSaved(path, savedVersion)),
  ]);
  return asked.flat();
}

export function isKnown(server: Server): server is KnownServer {
  return server.catalogue !== null;
}

/** What they have between them, by which an editor's file is converted; `null` where none has told. */
export function catalogueOf(servers: readonly Server[]): NodeCatalogue | null {
  const known = servers.filter(isKnown);
  return known.length === 0 ? null : mergeCatalogues(known.map(({ catalogue }) => catalogue));
}

function entryOf(command: string, url: string): BackendEntry {
  try {
    return parseBackendEntry(url);
  } catch (error) {
    throw new UsageError(command, `--backend: ${(error as Error).message}`);
  }
}

async function askEntry(entry: BackendEntry): Promise<Server[]> {
  if (entry.kind === 'fixed') return [await ask(entry.address)];
  await using discovery = new DnsDiscovery(entry);
  const found = once(discovery, 'changed');
  const failed = once(discovery, 'failed').then(([error]) => {
    throw error;
  });
  discovery.start();
  try {
    const [addresses] = (await Promise.race([found, failed])) as [readonly BackendAddress[]];
    return await Promise.all(addresses.map(ask));
  } catch (error) {
    const problem = `The name cannot be looked up: ${(error as Error).message}`;
    return [{ label: entry.label, catalogue: null, version: null, problem }];
  }
}

async function ask(address: BackendAddress): Promise<Server> {
  const { label } = address;
  await using client = new ComfyClient(address);
  try {
    // The client's own deadline is the only one.
    const { signal } = new AbortController();
    const [catalogue, version] = await Promise.all([
      client.nodeCatalogue(signal),
      client.describe(signal).then(
        (described) => described.version,
        () => null,
      ),
    ]);
    return { label, catalogue, version, problem: null };
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return { label, catalogue: null, version: null, problem: describeFault(error) };
  }
}

/** A server's fault with the system's code, which an operator looks for first. */
function describeFault({ message, cause }: GatewayError): string {
  const code = codeOf(cause);
  return code === null ? message : `${message} (${code})`;
}

function codeOf(cause: unknown): string | null {
  const error = cause instanceof AggregateError ? cause.errors[0] : cause;
  if (!(error instanceof Error)) return null;
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}

async function readSaved(path: string, version: string | null): Promise<Server> {
  try {
    const catalogue = savedCatalogue(await readFile(path, 'utf8'));
    return { label: path, catalogue, version, problem: null };
  } catch (error) {
    return { label: path, catalogue: null, version: null, problem: describeReadFault(error) };
  }
}

/** @throws Error, SyntaxError */
function savedCatalogue(text: string): NodeCatalogue {
  const { data = {} } = objectInfo.safeParse(parsePythonJson(text));
  // Every class has them, and nothing else that ComfyUI saves.
  const isCatalogue = Object.values(data).some(
    (described) => typeof described === 'object' && described !== null && 'input' in described,
  );
  if (!isCatalogue) throw new Error('It is no answer of a ComfyUI server to GET /object_info');
  return nodeCatalogue(data);
}

function describeReadFault(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'There is no such file';
  if (error instanceof SyntaxError) return 'It is not JSON';
  return code === undefined ? message : `It cannot be read (${code})`;
}
