type Cell = string | number | null;

/** A table as CSV (RFC 4180). */
export function toCsv(header: readonly string[], rows: readonly (readonly Cell[])[]): string {
  return [header, ...rows].map((row) => `${row.map(cell).join(',')}\r\n`).join('');
}

function cell(value: Cell): string {
  if (typeof value !== 'string') return value === null ? '' : String(value);
  const text = isFormula.test(value) ? `'${value}` : value;
  return mustBeQuoted.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Spreadsheets would work out a text that begins so, and names come from outside. */
const isFormula = /^[=+\-@\t\r]/;
const mustBeQuoted = /[",\r\n]/;
