import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const startMs = 60_000;

/** The service as its own process, to be stopped and killed like a real one. */
export class GatewayProcess implements AsyncDisposable {
  readonly url: string;
  readonly #child: ChildProcess;

  private constructor(url: string, child: ChildProcess) {
    this.url = url;
    this.#child = child;
  }

  static async start(env: Readonly<Record<string, string>>): Promise<GatewayProcess> {
    const child = spawn(process.execPath, [program], {
      // An empty value counts as unset and keeps a developer's .env out.
      env: { PATH: process.env.PATH, DATABASE_URL: '', PORT: '0', ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const deadline = AbortSignal.timeout(startMs);
    for await (const line of createInterface({ input: child.stdout, signal: deadline })) {
      const event = JSON.parse(line);
      if (event.msg === 'gateway.started') {
        child.stdout.resume();
        return new GatewayProcess(event.url, child);
      }
    }
    throw new Error('The gateway ended before it listened');
  }

  /** Ends it with the signal and returns its exit code, `null` after a kill. */
  async end(signal: 'SIGKILL' | 'SIGTERM' | 'SIGINT'): Promise<number | null> {
    const exited = once(this.#child, 'exit');
    this.#child.kill(signal);
    const [code] = await exited;
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await this.end('SIGKILL');
  }
}
