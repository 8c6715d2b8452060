/**
 * What ComfyUI makes of a value before it compares it: `int()` and `float()` of Python. `undefined`
 * where Python would refuse.
 */
export function pythonNumber(value: unknown, type: 'INT' | 'FLOAT'): number | undefined {
  if (typeof value === 'boolean') return Number(value);
  if (typeof value === 'number') return type === 'INT' ? Math.trunc(value) : value;
  if (typeof value !== 'string') return undefined;
  const text = value.trim().replace(/(?<=\p{Nd})_(?=\p{Nd})/gu, '');
  if (type === 'INT') return /^[+-]?\p{Nd}+$/u.test(text) ? Number(text) : undefined;
  if (/^[+-]?(inf|infinity|nan)$/i.test(text))
    return /nan/i.test(text) ? Number.NaN : infinite(text);
  return /^[+-]?(\p{Nd}+\.?\p{Nd}*|\.\p{Nd}+)(e[+-]?\p{Nd}+)?$/iu.test(text)
    ? Number(text)
    : undefined;
}

function infinite(text: string): number {
  return text.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}

/** Whether Python finds the two equal: `1`, `1.0` and `True` are. */
export function pythonEquals(a: unknown, b: unknown): boolean {
  return a === b || (isNumeric(a) && isNumeric(b) && Number(a) === Number(b));
}

function isNumeric(value: unknown): boolean {
  return typeof value === 'number' || typeof value === 'boolean';
}
