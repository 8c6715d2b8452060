/**
 * The few habits of Python that show on ComfyUI's wire: how values are converted, how they are
 * printed, and what an exception is called.
 */

/** An exception as ComfyUI reports it: `exception_type` and `exception_message`. */
export class PythonError extends Error {
  override readonly name = 'PythonError';
  readonly type: string;

  constructor(type: string, message: string) {
    super(message);
    this.type = type;
  }
}

/** `str(KeyError(key))` is the key's repr. */
export function keyError(key: unknown): PythonError {
  return new PythonError('KeyError', repr(key));
}

export function repr(value: unknown): string {
  if (value === null || value === undefined) return 'None';
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (typeof value === 'string') return quote(value);
  if (typeof value === 'number') return String(value);
  if (Array.isArray(value)) return `[${value.map(repr).join(', ')}]`;
  const members = Object.entries(value).map(([key, member]) => `${quote(key)}: ${repr(member)}`);
  return `{${members.join(', ')}}`;
}

function quote(text: string): string {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('\r', '\\r');
  return mark + (mark === "'" ? escaped.replaceAll("'", "\\'") : escaped) + mark;
}

export function str(value: unknown): string {
  return typeof value === 'string' ? value : repr(value);
}

/** `int(value)`: truncates numbers, takes whole numbers in text, refuses the rest. */
export function int(value: unknown): number {
  if (typeof value === 'boolean') return Number(value);
  if (typeof value === 'number') return Math.trunc(value);
  if (typeof value === 'string') {
    if (/^\s*[+-]?\d+\s*$/.test(value)) return Number(value);
    throw new PythonError('ValueError', `invalid literal for int() with base 10: ${repr(value)}`);
  }
  throw new PythonError(
    'TypeError',
    `int() argument must be a string, a bytes-like object or a real number, not '${typeName(value)}'`,
  );
}

export function float(value: unknown): number {
  if (typeof value === 'boolean' || typeof value === 'number') return Number(value);
  if (typeof value === 'string') {
    const number = value.trim() === '' ? Number.NaN : Number(value);
    if (!Number.isNaN(number)) return number;
    throw new PythonError('ValueError', `could not convert string to float: ${repr(value)}`);
  }
  throw new PythonError(
    'TypeError',
    `float() argument must be a string or a real number, not '${typeName(value)}'`,
  );
}

/** `round(value)`: a half goes to the even neighbour. */
export function roundHalfToEven(value: number): number {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/** `bool(value)`: so `"false"` is true. */
export function bool(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}

function typeName(value: unknown): string {
  if (value === null || value === undefined) return 'NoneType';
  return Array.isArray(value) ? 'list' : 'dict';
}
