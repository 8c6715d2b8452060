import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What differs from one answer to the next. */
export interface Varying {
  /** Fields of which the type counts alone, at any depth. */
  readonly fields?: readonly string[];
  /** In texts, what is found and what stands for it; UUIDs are found in any case. */
  readonly texts?: readonly (readonly [found: RegExp, mark: string])[];
}

const uuid = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;

/**
 * Compares an answer with the one in `test/golden/<path>.json`, which `UPDATE_GOLDEN=1` writes anew.
 * What varies is replaced by a mark before.
 */
export async function assertGolden(
  path: string,
  answer: { readonly status: number; readonly body: unknown },
  varying: Varying = {},
): Promise<void> {
  const file = fileURLToPath(new URL(`../golden/${path}.json`, import.meta.url));
  const actual = { status: answer.status, body: marked(answer.body, varying) };
  if (process.env.UPDATE_GOLDEN) {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, `${JSON.stringify(actual, null, 2)}\n`);
  }
  assert.deepEqual(actual, JSON.parse(await readFile(file, 'utf8')), path);
}

function marked(value: unknown, varying: Varying): unknown {
  const { fields = [], texts = [] } = varying;
  if (typeof value === 'string') {
    const found = [[uuid, '<uuid>'] as const, ...texts];
    return found.reduce((text, [pattern, mark]) => text.replaceAll(globally(pattern), mark), value);
  }
  if (Array.isArray(value)) return value.map((each) => marked(each, varying));
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).map(([name, each]) => {
    const isVarying = fields.includes(name) && each !== null;
    return [name, isVarying ? `<${typeof each}>` : marked(each, varying)];
  });
  return Object.fromEntries(entries);
}

function globally(pattern: RegExp): RegExp {
  return pattern.global ? pattern : new RegExp(pattern.source, `${pattern.flags}g`);
}
