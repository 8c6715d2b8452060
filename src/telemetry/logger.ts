import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino';
import { plainFields } from './plain.ts';
import { terminalLog } from './terminal-log.ts';

export type Logger = PinoLogger;
export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/**
 * One JSON line an event, and easier to read where the standard output is a terminal; `msg` is the event's name,
 * `noun.verb`. Whatever is logged holds no credentials: no query of an address, no parameter of a statement, no header
 * of a request.
 */
export function createLogger(level: LogLevel, destination?: DestinationStream): Logger {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }), log: plainFields },
    // Errors are plain by then; pino's own would take them for errors once more.
    serializers: { err: (error: unknown) => error },
    redact: {
      paths: ['*.secret', '*.accessKeySecret', '*.stsToken', '*.password', '*.authorization'],
      censor: '[redacted]',
    },
  };
  const out = destination ?? terminal();
  return out ? pino(options, out) : pino(options);
}

function terminal(): DestinationStream | null {
  const { stdout } = process;
  return stdout.isTTY ? terminalLog(stdout, stdout.hasColors()) : null;
}
