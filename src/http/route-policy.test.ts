import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type OpenAPIHono, type RouteConfig, z } from '@hono/zod-openapi';
import { Hono } from 'hono';
import { pino } from 'pino';
import { anybody, callersOf, openDoors } from '../../test/support/callers.ts';
import { absentParts } from '../../test/support/dialect-parts.ts';
import { readConfig } from '../config/config.ts';
import { identify } from './auth.ts';
import { createDialectApp } from './dialect-app.ts';
import { dialectSettings, dialects } from './dialects/index.ts';
import { createRoutes, defineRoute, json } from './openapi.ts';
import { declare, declaredPolicy, isOpen, type RoutePolicy } from './route-policy.ts';

const fileTypes = ['multipart/form-data', 'application/octet-stream'];

describe('the routes of every dialect', () => {
  for (const dialect of dialects) {
    it(`say what they are: ${dialect.name}`, () => {
      const { routes } = createDialectApp(dialect, absentParts(), {
        callers: anybody,
        corsOrigins: [],
        refusePage: () => null,
        doors: openDoors,
        settings: readConfig({}, dialectSettings).dialectSettings,
        logger: pino({ level: 'silent' }),
      });
      const documented = documentedIn(routes);
      assert.ok(documented.length > 3);
      for (const [where, route, policy] of documented) {
        assert.ok(policy, `${where} is not made by defineRoute`);
        const types = Object.keys(route.request?.body?.content ?? {});
        if (fileTypes.some((type) => types.includes(type))) {
          assert.ok(policy.file, `${where} takes a file and does not say so`);
        }
        if (policy.file === 'form') {
          assert.ok(types.includes('multipart/form-data'), `${where} documents no form`);
        }
        if (policy.isOpen) {
          assert.ok(!route.responses[401], `${where} is open and says that it asks for a key`);
        }
      }
    });
  }

  it('cannot take files without saying so', () => {
    const file = { schema: z.object({ file: z.string() }) };
    const form = {
      method: 'post',
      path: '/files',
      operationId: 'sendFile',
      tag: 'Files',
      request: { body: { content: { 'multipart/form-data': file } } },
      responses: { 200: json(z.object({}), 'Taken.') },
    } as const;
    const routes = createRoutes();
    // @ts-expect-error: it does not say that a form brings files.
    routes.openapi(defineRoute({ ...form, policy: { scope: 'tasks:write' } }), (context) =>
      context.json({}, 200),
    );
    const declared = defineRoute({ ...form, policy: { scope: 'tasks:write', file: 'form' } });
    createRoutes().openapi(declared, (context) => context.json({}, 200));
  });
});

describe('a route', () => {
  const responses = { 200: json(z.object({}), 'Seen.') };

  it('says whether it is open or what a key needs for it', () => {
    const route = {
      method: 'get',
      path: '/a',
      operationId: 'see',
      tag: 'A',
      responses,
    } as const;
    defineRoute({ ...route, policy: { isOpen: true } });
    // @ts-expect-error: it says neither.
    assert.throws(() => defineRoute(route));
    // @ts-expect-error: it says both.
    defineRoute({ ...route, policy: { isOpen: true, scope: 'admin' } });
  });

  it('that was made otherwise takes a key for everything', async () => {
    const app = new Hono();
    app.onError((error, context) => context.text(error.message, 403));
    app.use(identify(callersOf({ reader: ['tasks:read'], ops: ['admin'] }), openDoors.wrongKeys));
    app.get('/forgotten', (context) => context.text('seen'));
    const ask = async (key: string) =>
      await (await app.request('/forgotten', { headers: { 'x-api-key': key } })).text();
    assert.equal(await ask('reader'), 'The key lacks the scope admin, which this request takes');
    assert.equal(await ask('ops'), 'seen');
  });
});

describe('a policy', () => {
  const asked = async (method: string): Promise<string> => {
    const app = new Hono();
    app.use(async (context) => context.text(isOpen(context) ? 'open' : 'closed'));
    app.get('/looked-at', declare({ isOpen: true }), (context) => context.text(''));
    app.post('/looked-at', (context) => context.text(''));
    app.all('/looked-at', declare({ isOpen: true }), (context) => context.text(''));
    return await (await app.request('/looked-at', { method })).text();
  };

  it('is that of the method, and for those without a route that of all', async () => {
    assert.equal(await asked('GET'), 'open');
    assert.equal(await asked('POST'), 'closed');
    assert.equal(await asked('PUT'), 'open');
  });
});

type Documented = [where: string, route: RouteConfig, policy: RoutePolicy | null];

function documentedIn(routes: OpenAPIHono): Documented[] {
  return routes.openAPIRegistry.definitions.flatMap((definition): Documented[] => {
    if (definition.type !== 'route') return [];
    const { route } = definition;
    const method = route.method.toUpperCase();
    const path = route.path.replaceAll(/\{(\w+)\}/g, ':$1');
    return [[`${method} ${path}`, route, declaredPolicy(routes, method, path)]];
  });
}
