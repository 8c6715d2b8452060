import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { it } from 'node:test';

it('is all that imports drizzle-orm', () => {
  const root = new URL('../../', import.meta.url);
  const modules = globSync('{src,test,bench}/**/*.ts', { cwd: root });
  assert.ok(modules.length > 500);
  const others = modules.filter((path) =>
    /(?:from |import\()['"]drizzle-orm/.test(readFileSync(new URL(path, root), 'utf8')),
  );
  assert.deepEqual(others, ['src/db/drizzle.ts']);
});
