import { once } from 'node:events';
import { UsageError } from './cli/arguments.ts';
import { ConfigError } from './config/config.ts';
import { GatewayError } from './core/errors.ts';

/**
 * Runs a program's main function; what a person can mend is told in a sentence, not with a stack. The
 * exit code is 2 for wrong usage and 1 for all else.
 */
export async function run(main: () => Promise<void>): Promise<void> {
  try {
    await main();
  } catch (error) {
    console.error(isPlain(error) ? error.message : error);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  }
}

function isPlain(error: unknown): error is Error {
  return (
    error instanceof ConfigError ||
    error instanceof UsageError ||
    (error instanceof GatewayError && error.code !== 'internal') ||
    (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')
  );
}

/** Resolves with the name of the signal by which the process is asked to stop. */
export async function stopSignal(): Promise<string> {
  const [signal] = await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
  return signal;
}
