import { GatewayError } from '../core/errors.ts';
import { withoutSecrets } from '../core/without-secrets.ts';

/**
 * What is logged of an error, whoever made it. Libraries keep requests, queries and parameters in fields
 * of their errors, so that only those are taken of which it is known what they hold.
 */
export interface PlainError {
  readonly type: string;
  readonly code?: string;
  readonly message: string;
  readonly stack: string;
  readonly detail?: unknown;
  readonly cause?: unknown;
  /** Of an `AggregateError`. */
  readonly errors?: readonly unknown[];
}

/** Causes of causes, and values in values, go no deeper than this into the log. */
const maxDepth = 8;
/** So many entries of a list are shown. */
const maxEntries = 100;

/** A value as the log has it: errors are plain, and texts hold no credentials. */
export function plain(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return withoutSecrets(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth > maxDepth) return '…';
  if (value instanceof Error) return plainError(value, depth);
  if (Array.isArray(value)) return value.slice(0, maxEntries).map((each) => plain(each, depth + 1));
  return isRecord(value) ? plainFields(value, depth + 1) : value;
}

/** The fields of a line of the log. */
export function plainFields(
  fields: Readonly<Record<string, unknown>>,
  depth = 0,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [key, plain(value, depth)]),
  );
}

export function plainError(error: Error, depth = 0): PlainError {
  const code = codeOf(error);
  const { cause } = error;
  const type = error.name === 'Error' ? error.constructor.name : error.name;
  const message = messageOf(error, code);
  return {
    type,
    ...(code === null ? {} : { code }),
    message,
    stack: [`${type}: ${message}`, ...framesOf(error)].join('\n'),
    ...(error instanceof GatewayError && error.detail !== undefined
      ? { detail: plain(error.detail, depth + 1) }
      : {}),
    ...(cause === undefined ? {} : { cause: plain(cause, depth + 1) }),
    ...(error instanceof AggregateError ? { errors: plainList(error.errors, depth + 1) } : {}),
  };
}

function plainList(errors: readonly unknown[], depth: number): unknown[] {
  return errors.slice(0, maxEntries).map((each) => plain(each, depth));
}

/** Anything longer is no code. */
function codeOf(error: Error): string | null {
  if (!('code' in error)) return null;
  const code = String(error.code);
  return /^[\w.-]{1,64}$/.test(code) ? code : null;
}

/** SQLSTATEs of five places, with a digit among them. */
const sqlState = /^(?=.*\d)[0-9A-Z]{5}$/;
/** Those whose messages quote the value that was refused. */
const valueRefused = /^(22|P0)[0-9A-Z]{3}$/;

function messageOf(error: Error, code: string | null): string {
  const { message } = error;
  if (error instanceof GatewayError) return withoutSecrets(message);
  // Drizzle's messages are the statement and its parameters.
  if ('query' in error && 'params' in error && message.startsWith('Failed query')) {
    return 'Failed query';
  }
  if ('issues' in error && Array.isArray(error.issues)) return describeIssues(error.issues);
  if (code !== null && valueRefused.test(code)) return 'The database refused a value';
  const text = code !== null && sqlState.test(code) ? message : withoutQuoted(message);
  // Further lines are headers, statements or whole documents.
  return withoutSecrets(text.split('\n', 1).join());
}

/** Parsers quote what they were given: `Unexpected token 'a', "abc" is not valid JSON`. */
function withoutQuoted(text: string): string {
  const from = text.indexOf('"');
  if (from < 0) return text;
  const to = text.lastIndexOf('"');
  return `${text.slice(0, from)}"…"${to > from ? text.slice(to + 1) : ''}`;
}

/** Of Zod; its own message quotes the names of fields that somebody sent. */
function describeIssues(issues: readonly { readonly code?: unknown }[]): string {
  return `The value does not fit its schema: ${issues.map(({ code }) => String(code)).join(', ')}`;
}

/** The stack begins with the message, which may have lines that look like frames. */
function framesOf({ message, stack = '' }: Error): string[] {
  const lines = (message === '' ? stack : stack.replace(message, () => '')).split('\n');
  return lines.filter((line) => /^ {4}at .*(:\d+:\d+\)?|<anonymous>\)?|native\)?)$/.test(line));
}

function isRecord(value: object): value is Record<string, unknown> {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
