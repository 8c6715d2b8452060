import { type OpenAPIHono, z } from '@hono/zod-openapi';
import { scopes } from '../core/caller.ts';
import type { IssuedKey, KeyControl, KeyView } from '../core/key.ts';
import { actorOf } from './auth.ts';
import { errorSchema } from './errors.ts';
import { createRoutes, defineRoute, json, jsonBody } from './openapi.ts';

/** `/keys`: who may ask, beside those of the settings. */
export function keyRoutes(keys: KeyControl): OpenAPIHono {
  const app = createRoutes();

  app.openapi(listRoute, async (context) => {
    return context.json({ keys: (await keys.list()).map(presentKey) }, 200);
  });
  app.openapi(createRoute, async (context) => {
    const { name, tenant, scopes, expires_at } = context.req.valid('json');
    const issued = await keys.create(actorOf(context), {
      name,
      tenant: tenant ?? name,
      scopes: [...new Set(scopes)],
      expiresAt: expires_at == null ? null : new Date(expires_at),
    });
    context.header('Cache-Control', 'no-store');
    return context.json(presentIssued(issued), 201);
  });
  app.openapi(rotateRoute, async (context) => {
    const { id } = context.req.valid('param');
    const { grace_seconds: grace } = context.req.valid('json');
    const issued = await keys.rotate(actorOf(context), id, (grace ?? 0) * 1_000);
    context.header('Cache-Control', 'no-store');
    return context.json(presentIssued(issued), 200);
  });
  app.openapi(revokeRoute, async (context) => {
    await keys.revoke(actorOf(context), context.req.valid('param').id);
    return context.json({ status: 'revoked' as const }, 200);
  });
  return app;
}

const instant = z.iso.datetime({
  offset: true,
  error: 'must be an instant such as 2027-01-31T12:00:00Z',
});

const view = z
  .object({
    id: z.string().openapi({ example: '3f2a9c01b7de4a55' }),
    name: z.string().openapi({ description: 'By which acts are on record.', example: 'ci' }),
    tenant: z.string().openapi({ description: 'Whose tasks come with it.', example: 'studio' }),
    scopes: z.array(z.enum(scopes)),
    created_at: instant,
    expires_at: instant.nullable(),
    last_used_at: instant.nullable().openapi({ description: 'To within a few seconds.' }),
  })
  .openapi('Key');

const issued = view
  .extend({ key: z.string().openapi({ description: 'The key itself; it is shown only now.' }) })
  .openapi('IssuedKey');

/** What `/keys` answers, for whoever reads it. */
export const answers = { list: z.object({ keys: z.array(view) }), issued };

/** A key as `/keys` answers it. */
export function presentKey(key: KeyView): z.infer<typeof view> {
  const { id, name, tenant, scopes, createdAt, expiresAt, lastUsedAt } = key;
  return {
    id,
    name,
    tenant,
    scopes: [...scopes],
    created_at: createdAt.toISOString(),
    expires_at: expiresAt?.toISOString() ?? null,
    last_used_at: lastUsedAt?.toISOString() ?? null,
  };
}

function presentIssued(key: IssuedKey): z.infer<typeof issued> {
  return { ...presentKey(key), key: key.key };
}

const invalid = { 400: json(errorSchema, 'The request is wrong; `field` says where.') };
const closed = {
  401: json(errorSchema, 'A key is needed.'),
  403: json(errorSchema, 'The key lacks the scope.'),
};
const unknown = { 404: json(errorSchema, 'There is no such key, or it is revoked.') };
const idParam = z.object({ id: z.string().openapi({ example: '3f2a9c01b7de4a55' }) });
const policy = { scope: 'admin' } as const;

const listRoute = defineRoute({
  method: 'get',
  path: '/keys',
  operationId: 'listKeys',
  tag: 'Keys',
  policy,
  summary: 'The keys that were made at run time',
  responses: { 200: json(answers.list, 'Those that are not revoked.'), ...closed },
});

const createRoute = defineRoute({
  method: 'post',
  path: '/keys',
  operationId: 'createKey',
  tag: 'Keys',
  policy,
  summary: 'Make a key',
  request: {
    body: jsonBody(
      z
        .object({
          name: z.string().openapi({ example: 'ci' }),
          tenant: z.string().nullish().openapi({
            description: 'As the name, where it is left out.',
            example: 'studio',
          }),
          scopes: z
            .array(z.enum(scopes, `must be ${scopes.join(', ')}`), 'must be a list')
            .openapi({ example: ['tasks:write', 'tasks:read'] }),
          expires_at: instant.nullish().openapi({ description: 'Without it, it has no end.' }),
        })
        .openapi('NewKey'),
      'Whose it is, and what it may do.',
      { name: 'ci', tenant: 'studio', scopes: ['tasks:write', 'tasks:read'] },
    ),
  },
  responses: {
    201: json(issued, 'It is good at every gateway from now on.'),
    ...invalid,
    ...closed,
    409: json(errorSchema, 'Another key has the name.'),
  },
});

const rotateRoute = defineRoute({
  method: 'post',
  path: '/keys/{id}/rotate',
  operationId: 'rotateKey',
  tag: 'Keys',
  policy,
  summary: 'Replace a key by another one',
  request: {
    params: idParam,
    body: {
      ...json(
        z
          .object({
            grace_seconds: z
              .number('must be a number of seconds')
              .min(0, 'must be at least 0')
              .max(31_536_000, 'must be at most 31536000')
              .nullish()
              .openapi({
                description: 'Seconds that the old key still works; 0 where it is left out.',
                example: 3_600,
              }),
          })
          .openapi('KeyRotation'),
        'How long the old key still works.',
      ),
      required: true,
    },
  },
  responses: {
    200: json(issued, 'The key with another secret.'),
    ...invalid,
    ...unknown,
    ...closed,
  },
});

const revokeRoute = defineRoute({
  method: 'delete',
  path: '/keys/{id}',
  operationId: 'revokeKey',
  tag: 'Keys',
  policy,
  summary: 'Revoke a key; it is refused by every gateway within a second',
  request: { params: idParam },
  responses: {
    200: json(z.object({ status: z.literal('revoked') }), 'It opens nothing any more.'),
    ...unknown,
    ...closed,
  },
});
