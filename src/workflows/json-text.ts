import { type ParseError, parse } from 'jsonc-parser';
import type { GatewayError } from '../core/errors.ts';
import { isStorable } from '../core/storable-text.ts';
import { invalid } from '../core/workflow.ts';

/** Deeper than any graph, and far less than what a stack holds. */
const maxDepth = 64;

/**
 * Parses what an operator wrote.
 *
 * @throws GatewayError `workflow_invalid`, with line and column of what is no JSON.
 */
export function parseJsonText(text: string): unknown {
  // Some editors of Windows put it first.
  const json = text.startsWith('\uFEFF') ? text.slice(1) : text;
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw invalid(`The file is not JSON: ${describeFault(json)}`);
  }
  checkKeys(value);
  if (!isStorable(value)) {
    throw invalid('The file holds a NUL character (\\u0000), or half of a surrogate pair');
  }
  return value;
}

/** What is nested without end, or has a key that the language gives a meaning, is refused. */
function checkKeys(root: unknown): void {
  const open: { readonly value: unknown; readonly depth: number }[] = [{ value: root, depth: 0 }];
  for (let next = open.pop(); next; next = open.pop()) {
    const { value, depth } = next;
    if (typeof value !== 'object' || value === null) continue;
    if (depth >= maxDepth) throw tooDeep();
    if (Object.hasOwn(value, '__proto__')) throw invalid('The file has a key named "__proto__"');
    for (const each of Object.values(value)) open.push({ value: each, depth: depth + 1 });
  }
}

/** Where it stops to be JSON, and at what. */
function describeFault(text: string): string {
  const position = faultOffset(text);
  const before = text.slice(0, position);
  const line = before.split('\n').length;
  const column = position - before.lastIndexOf('\n');
  const found = text.slice(position, position + maxShown).trimEnd();
  const rest = found.startsWith('"') ? 'a broken text' : `unexpected ${found.split(/\s/)[0]}`;
  const what = found === '' ? 'it ends too early' : rest;
  return `${what} at line ${line}, column ${column}`;
}

const maxShown = 12;

function faultOffset(text: string): number {
  const faults: ParseError[] = [];
  try {
    parse(text, faults, { disallowComments: true, allowEmptyContent: false });
  } catch (error) {
    // It goes as deep as the text does, and the stack does not.
    if (error instanceof RangeError) throw tooDeep();
    throw error;
  }
  return faults[0]?.offset ?? text.length;
}

function tooDeep(): GatewayError {
  return invalid(`The file is nested deeper than ${maxDepth} levels`);
}
