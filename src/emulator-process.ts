import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type BackendEntry, parseBackendEntry } from './comfyui/address.ts';
import { type Config, ConfigError } from './config/config.ts';
import type { Logger } from './telemetry/logger.ts';

const program = fileURLToPath(new URL('./emulator/main.ts', import.meta.url));
const startMs = 60_000;
const stopMs = 5_000;

/**
 * The backends of the settings or, where there are none, the emulator, started beside the gateway.
 *
 * @throws ConfigError when there are none and this install is without the emulator's engines.
 */
export async function backendsOrEmulator(
  { backends }: Config,
  parts: AsyncDisposableStack,
  logger: Logger,
): Promise<readonly BackendEntry[]> {
  if (backends) return backends;
  if (!emulatorIsInstalled()) throw new ConfigError([noBackends]);
  const { url } = parts.use(await EmulatorProcess.start());
  logger.warn({ url, reason: 'COMFYUI_BACKENDS is not set' }, 'emulator.started');
  return [parseBackendEntry(url)];
}

const noBackends =
  'COMFYUI_BACKENDS must be set, e.g. to http://127.0.0.1:8188: this install (npm ci --omit=dev) ' +
  'is without the emulator that would stand in for ComfyUI';

/** The packages that it computes with are development ones. */
function emulatorIsInstalled(): boolean {
  try {
    import.meta.resolve('@tensorflow/tfjs-core');
    import.meta.resolve('@mediabunny/server');
    return true;
  } catch {
    return false;
  }
}

/** The emulator as a process beside this one; it ends when this one does, however it does. */
class EmulatorProcess implements AsyncDisposable {
  readonly url: string;
  readonly #child: ChildProcess;

  private constructor(url: string, child: ChildProcess) {
    this.url = url;
    this.#child = child;
  }

  /** @throws Error when it does not come up. */
  static async start(): Promise<EmulatorProcess> {
    // A process group of its own: Ctrl-C is for the gateway, which lets go of the emulator first.
    const child = fork(program, ['--port', '0'], {
      detached: true,
      stdio: ['ignore', 2, 2, 'ipc'],
    });
    const started = once(child, 'message', { signal: AbortSignal.timeout(startMs) });
    const exited = once(child, 'exit').then(([code]) => {
      throw new Error(`The emulator ended with code ${code} before it listened`);
    });
    const [message] = (await Promise.race([started, exited])) as [{ listening: string }];
    exited.catch(() => {});
    return new EmulatorProcess(message.listening, child);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    const force = setTimeout(() => this.#child.kill('SIGKILL'), stopMs);
    await exited;
    clearTimeout(force);
  }
}
