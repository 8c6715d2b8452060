import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { pino } from 'pino';
import { anybody, openDoors } from '../../test/support/callers.ts';
import { absentParts } from '../../test/support/dialect-parts.ts';
import { type Act, acts, looks } from '../audit/acts.ts';
import { readConfig } from '../config/config.ts';
import { clientScopes } from '../core/caller.ts';
import { operatorEventKinds } from '../core/operator-event.ts';
import { createDialectApp } from './dialect-app.ts';
import { dialectSettings, dialects } from './dialects/index.ts';
import { declaredPolicy } from './route-policy.ts';

const settings = readConfig({}, dialectSettings).dialectSettings;
const table = Object.entries<Act>(acts);

/** Every request that is documented, and whether it takes an operator's key. */
const requests = new Map<string, boolean>(
  dialects.flatMap((dialect) => {
    const { routes } = createDialectApp(dialect, absentParts(), {
      ...{ callers: anybody, corsOrigins: [], refusePage: () => null, settings },
      doors: openDoors,
      logger: pino({ level: 'silent' }),
    });
    return routes.openAPIRegistry.definitions.flatMap((definition) => {
      if (definition.type !== 'route') return [];
      const method = definition.route.method.toUpperCase();
      const { path } = definition.route;
      const scope = declaredPolicy(routes, method, path.replaceAll(/\{(\w+)\}/g, ':$1'))?.scope;
      const isGuarded = scope !== undefined && !clientScopes.includes(scope);
      return [[`${dialect.name} ${method} ${path}`, isGuarded] as const];
    });
  }),
);

describe('the acts of operators', () => {
  it('are on record for every request that takes their key, unless it only looks', () => {
    const guarded = [...requests].flatMap(([request, isGuarded]) => (isGuarded ? request : []));
    assert.ok(guarded.length > 5);
    const listed = new Set([...looks, ...table.flatMap(([, { by }]) => by)]);
    assert.deepEqual(
      guarded.filter((request) => !listed.has(request)),
      [],
      'they stand in no row of audit/acts.ts',
    );
    for (const request of listed) assert.ok(requests.has(request), `there is no ${request}`);
    for (const request of looks) assert.ok(requests.get(request), `anybody may ask ${request}`);
  });

  it('stand in docs/operators.md as in their table', async () => {
    const page = await readFile(new URL('../../docs/operators.md', import.meta.url), 'utf8');
    const rows = page
      .split('\n')
      .filter((line) => operatorEventKinds.some((kind) => line.startsWith(`| \`${kind}\` |`)));
    const cells = table.map(([kind, { of, tells }]) => `| \`${kind}\` | ${of} | ${tells} |`);
    assert.deepEqual(rows, cells);
  });
});
