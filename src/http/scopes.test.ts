import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { pino } from 'pino';
import { callersOf, openDoors } from '../../test/support/callers.ts';
import { absentParts } from '../../test/support/dialect-parts.ts';
import { readConfig } from '../config/config.ts';
import { clientScopes, type Scope, scopes } from '../core/caller.ts';
import type { Dialect } from './dialect.ts';
import { createDialectApp } from './dialect-app.ts';
import { dialectSettings, dialects } from './dialects/index.ts';
import { declaredPolicy } from './route-policy.ts';

const settings = readConfig({}, dialectSettings).dialectSettings;
/** A key of each scope, by its name, and one of none. */
const callers = callersOf({
  none: [],
  ...Object.fromEntries(scopes.map((scope) => [scope, [scope]])),
});

function appOf(dialect: Dialect) {
  const objects = { stat: async () => null, open: async () => null };
  const { routes } = createDialectApp(
    dialect,
    { ...absentParts(), objects },
    {
      callers,
      corsOrigins: [],
      refusePage: () => null,
      doors: openDoors,
      settings,
      logger: pino({ level: 'silent' }),
    },
  );
  return routes;
}

interface Request {
  readonly dialect: Dialect;
  readonly method: string;
  /** As it is documented. */
  readonly path: string;
  readonly scope: Scope | null;
  /** Whether a secret in the address may stand in place of a key. */
  readonly takesSecret: boolean;
}

/** What the router of each dialect has, but for the pages of its reference, which come before any key is asked for. */
const requests = dialects.flatMap((dialect): Request[] => {
  const app = appOf(dialect);
  const own = app.routes.filter(({ method, path }) => {
    return method !== 'ALL' && !isOfReference(path, dialect);
  });
  const names = new Set(own.map(({ method, path }) => `${method} ${path}`));
  return [...names].map((name) => {
    const [method = '', path = ''] = name.split(' ');
    const policy = declaredPolicy(app, method, path);
    assert.ok(policy, `${dialect.name} ${name} says nothing of keys`);
    return {
      ...{ dialect, method, path: path.replaceAll(/:(\w+)(\{.+?\})?/g, '{$1}') },
      ...{ scope: policy.scope ?? null, takesSecret: policy.takesSecret ?? false },
    };
  });
});

function isOfReference(path: string, { documentsAt }: Dialect): boolean {
  const pages = ['/openapi.json', '/openapi.yaml', '/docs', '/redoc', '/docs/:asset'];
  return pages.some((page) => path === documentsAt + page);
}

describe('the scopes of requests', () => {
  for (const dialect of dialects) {
    it(`open to a key what they say, and nothing else: ${dialect.name}`, async () => {
      const app = appOf(dialect);
      const own = requests.filter((request) => request.dialect === dialect);
      assert.ok(own.length > 3);
      for (const { method, path, scope, takesSecret } of own) {
        const address = path.replaceAll(/\{\w+\}/g, 'unknown');
        const keyless = await app.request(address, { method });
        const refused = takesSecret ? [401, 404] : [401];
        const isRefused = refused.includes(keyless.status);
        if (scope) assert.ok(isRefused, `${method} ${path} without a key: ${keyless.status}`);
        else assert.notEqual(keyless.status, 401, `${method} ${path}`);
        for (const key of ['none', ...scopes]) {
          const mayPass = scope === null || key === scope || key === 'admin';
          const answer = await app.request(address, { method, headers: { 'x-api-key': key } });
          const where = `${method} ${path} with ${key}`;
          if (takesSecret && !mayPass) {
            // Whoever has the secret needs no key, and so no other one.
            assert.equal(answer.status, keyless.status, where);
            continue;
          }
          assert.equal(answer.status !== 403, mayPass, `${where}: ${answer.status}`);
          assert.notEqual(answer.status, 401, where);
          if (!mayPass) assert.match(await answer.text(), new RegExp(`scope ${scope}`), where);
        }
      }
    });
  }

  it('leave clients all that they could do but whole graphs and the metrics of all', () => {
    const kept = requests.filter(({ scope }) => scope === null || clientScopes.includes(scope));
    const others = requests.filter((request) => !kept.includes(request));
    assert.deepEqual(
      others.map(({ dialect, method, path }) => `${dialect.name} ${method} ${path}`),
      [
        'tmlsr GET /backends',
        'tmlsr POST /backends',
        'tmlsr PATCH /backends/{id}',
        'tmlsr DELETE /backends/{id}',
        'tmlsr GET /monitor/demand',
        'tmlsr GET /monitor/operators',
        'tmlsr GET /pauses',
        'tmlsr PUT /pauses/pool',
        'tmlsr DELETE /pauses/pool',
        'tmlsr PUT /pauses/workflows/{name}',
        'tmlsr DELETE /pauses/workflows/{name}',
        'tmlsr PUT /pauses/tenants/{name}',
        'tmlsr DELETE /pauses/tenants/{name}',
        'tmlsr GET /keys',
        'tmlsr POST /keys',
        'tmlsr POST /keys/{id}/rotate',
        'tmlsr DELETE /keys/{id}',
        'tmlsr GET /workflows/{name}/graph',
        'tmlsr PUT /workflows/{name}',
        'tmlsr DELETE /workflows/{name}',
        'task-manager GET /dashboard/metrics',
        'uformer POST /api/unload_models',
      ],
    );
  });

  it('stand in docs/keys.md as the router has them', async () => {
    const page = await readFile(new URL('../../docs/keys.md', import.meta.url), 'utf8');
    const lines = page.slice(page.indexOf('## What each request takes')).split('\n');
    const rows = lines.filter((line) => line.startsWith('| `'));
    assert.deepEqual(rows, dialects.flatMap(rowsOf));
    const head = `| request | ${scopes.map((scope) => `\`${scope}\``).join(' | ')} |`;
    assert.equal(lines.filter((line) => line === head).length, dialects.length);
  });
});

function rowsOf(dialect: Dialect): string[] {
  const own = requests.filter((request) => request.dialect === dialect);
  return own.map(({ method, path, scope, takesSecret }) => {
    const cells = scopes.map((each) => {
      if (scope === null) return 'open';
      return each === scope || each === 'admin' ? 'yes' : '';
    });
    const remark = takesSecret ? ', or with the secret of its address' : '';
    return `| \`${method} ${path}\`${remark} | ${cells.join(' | ')} |`;
  });
}
