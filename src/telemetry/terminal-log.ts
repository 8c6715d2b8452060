import type { DestinationStream } from 'pino';

const levels = {
  trace: ['TRACE', 90],
  debug: ['DEBUG', 90],
  info: ['INFO ', 32],
  warn: ['WARN ', 33],
  error: ['ERROR', 31],
  fatal: ['FATAL', 35],
} as const satisfies Record<string, readonly [name: string, colour: number]>;

const dim = 90;

/** Writes the lines of the log as a person reads them: the time, the level, the event, and what is told of it. */
export function terminalLog(
  out: { write(text: string): unknown },
  hasColours: boolean,
): DestinationStream {
  const painted = (text: string, colour: number) =>
    hasColours ? `\u001b[${colour}m${text}\u001b[0m` : text;
  return {
    write: (line) => {
      const { level, time, msg, err, ...fields } = JSON.parse(line) as Record<string, unknown>;
      const [name, colour] = isLevel(level) ? levels[level] : [String(level), dim];
      const told = Object.entries(fields).map(
        ([key, value]) => `${painted(`${key}=`, dim)}${readable(value)}`,
      );
      const head = [clockTime(time), painted(name, colour), readable(msg)];
      out.write(`${[...head, ...told].join(' ')}\n${stackOf(err)}`);
    },
  };
}

function isLevel(level: unknown): level is keyof typeof levels {
  return typeof level === 'string' && Object.hasOwn(levels, level);
}

/** Of the machine's own zone, as whoever sits there has it. */
function clockTime(time: unknown): string {
  const at = new Date(String(time));
  return Number.isNaN(at.getTime()) ? '' : at.toTimeString().slice(0, 8);
}

/** What is quoted cannot be taken for another field, and no character moves the cursor. */
function readable(value: unknown): string {
  if (typeof value === 'string' && /^[\w.:/@+=-]+$/.test(value)) return value;
  return JSON.stringify(value ?? null).replace(/[\u007f-\u009f\u2028\u2029]/g, escaped);
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** The error with its causes, each line indented. */
function stackOf(err: unknown): string {
  if (typeof err !== 'object' || err === null) return '';
  const { stack, cause } = err as { readonly stack?: unknown; readonly cause?: unknown };
  const lines = typeof stack === 'string' ? stack.split('\n') : [];
  const own = lines.map((line) => `    ${unquoted(line)}\n`).join('');
  const below = stackOf(cause);
  return below === '' ? own : `${own}    caused by:\n${below}`;
}

function unquoted(line: string): string {
  return JSON.stringify(line)
    .slice(1, -1)
    .replaceAll('\\"', '"')
    .replace(/[\u007f-\u009f\u2028\u2029]/g, escaped);
}
