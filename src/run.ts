import { once } from 'node:events';
import { UsageError } from './cli/arguments.ts';
import { forOutput } from './cli/fold.ts';
import { ConfigError } from './config/config.ts';
import { cutText } from './core/cut-text.ts';
import { GatewayError } from './core/errors.ts';
import { systemCodeOf } from './core/system-code.ts';
import { withoutSecrets } from './core/without-secrets.ts';
import type { Logger } from './telemetry/logger.ts';
import { plainError } from './telemetry/plain.ts';

/**
 * Runs a program's main function; what a person can mend is told in a sentence, not with a stack. The
 * exit code is 2 for wrong usage and 1 for all else. An error that nobody caught ends the program with one
 * line: in the log once `main` has named one, on standard error before.
 */
export async function run(main: (logTo: (logger: Logger) => void) => Promise<void>): Promise<void> {
  let logger: Logger | null = null;
  // Rejections that nobody caught come here as well.
  process.once('uncaughtException', (thrown) => {
    const { reason, at } = describeCrash(thrown);
    if (logger) logger.fatal({ reason, at }, 'process.crashed');
    else console.error(`The program ends by an error that nobody caught: ${reason} (${at})`);
    process.exit(1);
  });
  try {
    await main((given) => {
      logger = given;
    });
  } catch (error) {
    console.error(isPlain(error) ? forOutput(error.message, process.stderr) : describeError(error));
    process.exitCode = error instanceof UsageError ? 2 : 1;
  }
}

/** The error with its cause in one line, and the place in the code that it comes from. */
function describeCrash(thrown: unknown): { reason: string; at: string } {
  if (!(thrown instanceof Error)) return { reason: oneLine(String(thrown)), at: 'unknown' };
  const { type, message, stack } = plainError(thrown);
  const { cause } = thrown;
  const because = cause instanceof Error ? ` (${oneLine(plainError(cause).message)})` : '';
  const [, at = 'unknown'] = /^\s+at (.+)$/m.exec(stack) ?? [];
  return { reason: `${type}: ${oneLine(message)}${because}`, at };
}

/** Further lines may hold values of clients. */
function oneLine(text: string): string {
  return cutText(withoutSecrets(text.split('\n', 1).join()), 300);
}

/** The error and its causes, for the terminal. */
function describeError(thrown: unknown): string {
  if (!(thrown instanceof Error)) return oneLine(String(thrown));
  const { stack } = plainError(thrown);
  return thrown.cause === undefined ? stack : `${stack}\n[cause]: ${describeError(thrown.cause)}`;
}

function isPlain(error: unknown): error is Error {
  return (
    error instanceof ConfigError ||
    error instanceof UsageError ||
    (error instanceof GatewayError && error.code !== 'internal') ||
    (error instanceof Error && systemCodeOf(error) === 'EADDRINUSE')
  );
}

/** Resolves with the name of the signal by which the process is asked to stop. */
export async function stopSignal(): Promise<string> {
  const [signal] = await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
  return signal;
}
