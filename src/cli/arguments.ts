import { type ParseArgsConfig, parseArgs } from 'node:util';
import { didYouMean } from '../core/nearest.ts';

/** Somebody called a command in a way that it does not know. */
export class UsageError extends Error {
  override readonly name = 'UsageError';

  /** `command` is what was called, as it is written: `tmlsr workflows check`. */
  constructor(command: string, problem: string) {
    super(`${command}: ${problem}\nSee ${command} --help`);
  }
}

/** @throws UsageError naming the argument that is wrong. */
export function readArguments<T extends ParseArgsConfig>(
  command: string,
  config: T,
): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config);
  } catch (error) {
    if (!isParseError(error)) throw error;
    throw new UsageError(command, describe(error, Object.keys(config.options ?? {})));
  }
}

type ParseError = Error & { readonly code: `ERR_PARSE_ARGS_${string}` };

function isParseError(error: unknown): error is ParseError {
  return (
    error instanceof Error &&
    'code' in error &&
    typeof error.code === 'string' &&
    error.code.startsWith('ERR_PARSE_ARGS_')
  );
}

/** Node's own words, without its advice for programmers. */
function describe({ code, message }: ParseError, known: readonly string[]): string {
  const [, quoted = ''] = /'([^']*)'/.exec(message) ?? [];
  const option = /--[\w-]+/.exec(quoted)?.[0] ?? quoted;
  if (code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION') {
    const hint = didYouMean(
      option,
      known.map((name) => `--${name}`),
    );
    return `there is no option ${option}${hint}`;
  }
  if (code === 'ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL') {
    return `it takes no argument ${JSON.stringify(quoted)}`;
  }
  return `${option} ${/not take/.test(message) ? 'takes no value' : 'needs a value'}`;
}
