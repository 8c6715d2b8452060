import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** A name that ends the arguments of a call, as that of an event does; names of files look the same. */
const lastArgument = /'([a-z]+\.[a-z]+(?:-[a-z]+)*)',?\s*\)/g;
const noEvents = new Set(['db.lock', 'fixture.png', 'in.ts']);

/** Events that the gateway may log. The emulator has no log of the kind. */
function logged(): Set<string> {
  const files = globSync('src/**/*.ts', { cwd: root }).filter(
    (file) => !/\.test\.ts$|^src\/emulator\//.test(file),
  );
  const names = files.flatMap((file) =>
    [...readFileSync(`${root}${file}`, 'utf8').matchAll(lastArgument)].map(([, name = '']) => name),
  );
  return new Set(names.filter((name) => !noEvents.has(name)));
}

/** Those of the section on the log. */
function documented(): Set<string> {
  const page = readFileSync(`${root}docs/operators.md`, 'utf8');
  const [, section = ''] = /^## The log$([\s\S]*?)^## /m.exec(page) ?? [];
  const names = section.matchAll(/`([a-z]+\.[a-z]+(?:-[a-z]+)*)`/g);
  return new Set([...names].map(([, name = '']) => name));
}

describe('the events of the log', () => {
  it('are those of docs/operators.md', () => {
    const names = logged();
    assert.ok(names.size > 50, 'they are found in the code');
    assert.deepEqual([...documented()].sort(), [...names].sort());
  });
});
