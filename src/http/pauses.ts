import { type OpenAPIHono, z } from '@hono/zod-openapi';
import { type Pause, pauseKinds } from '../core/pause.ts';
import type { PauseService } from '../tasks/pause-service.ts';
import { actorOf } from './auth.ts';
import { errorSchema } from './errors.ts';
import { createRoutes, defineRoute, json, jsonBody } from './openapi.ts';

/** `/pauses`: what operators keep from being begun. */
export function pauseRoutes(pauses: PauseService): OpenAPIHono {
  const app = createRoutes();

  app.openapi(listRoute, async (context) => {
    return context.json({ pauses: (await pauses.list()).map(presentPause) }, 200);
  });
  for (const { kind, put, remove } of resources) {
    app.openapi(put, async (context) => {
      const name = context.req.param('name') ?? '';
      const { reason = null, until = null } = context.req.valid('json');
      const terms = { reason, until: until === null ? null : new Date(until) };
      await pauses.pause(actorOf(context), { kind, name }, terms);
      return context.json({ status: 'paused' as const }, 200);
    });
    app.openapi(remove, async (context) => {
      const name = context.req.param('name') ?? '';
      await pauses.resume(actorOf(context), { kind, name });
      return context.json({ status: 'resumed' as const }, 200);
    });
  }
  return app;
}

export const pauseSchema = z
  .object({
    kind: z.enum(pauseKinds),
    name: z.string().openapi({ description: 'Of the workflow or the tenant; empty for the pool.' }),
    reason: z.string().nullable(),
    since: z.iso.datetime(),
    until: z.iso.datetime().nullable().openapi({ description: 'When it ends by itself.' }),
  })
  .openapi('Pause');

export function presentPause({ since, until, ...rest }: Pause): z.infer<typeof pauseSchema> {
  return { ...rest, since: since.toISOString(), until: until?.toISOString() ?? null };
}

const terms = z.object({
  reason: z.string().max(500).nullish().openapi({
    description: 'Those whose tasks wait are shown it.',
    example: 'New drivers are installed',
  }),
  until: z.iso
    .datetime({ offset: true, error: 'must be an instant, such as 2026-08-01T12:00:00Z' })
    .nullish()
    .openapi({ description: 'When it ends by itself.' }),
});

const name = z.object({ name: z.string().min(1).max(200) });

const refusals = {
  401: json(errorSchema, 'A key is needed.'),
  403: json(errorSchema, 'The key lacks the scope.'),
};

const listRoute = defineRoute({
  method: 'get',
  path: '/pauses',
  operationId: 'listPauses',
  tag: 'Pauses',
  policy: { scope: 'admin' },
  summary: 'What is paused',
  responses: {
    200: json(z.object({ pauses: z.array(pauseSchema) }), 'All that holds at present.'),
    ...refusals,
  },
});

/** What may be paused, each with its routes. */
const resources = [
  resource('pool', '/pauses/pool', {}, 'all'),
  resource('workflow', '/pauses/workflows/{name}', { params: name }, 'a workflow', {
    404: json(errorSchema, 'No workflow of this name has a file, or had a task.'),
  }),
  resource('tenant', '/pauses/tenants/{name}', { params: name }, 'a tenant'),
];

function resource(
  kind: Pause['kind'],
  path: `/pauses/${string}`,
  params: { readonly params?: typeof name },
  what: string,
  unknown: Readonly<Record<number, ReturnType<typeof json>>> = {},
) {
  const noun = kind.charAt(0).toUpperCase() + kind.slice(1);
  const put = defineRoute({
    method: 'put',
    path,
    operationId: `pause${noun}`,
    tag: 'Pauses',
    policy: { scope: 'admin' },
    summary: `Begin nothing new of ${what}`,
    description: 'What runs goes on. Tasks are taken on and wait.',
    request: {
      ...params,
      body: jsonBody(terms, 'Why, and until when.', { reason: 'New drivers are installed' }),
    },
    responses: {
      200: json(z.object({ status: z.literal('paused') }), 'It holds for every gateway.'),
      400: json(errorSchema, 'The request is wrong; `field` says where.'),
      ...unknown,
      ...refusals,
    },
  });
  const remove = defineRoute({
    method: 'delete',
    path,
    operationId: `resume${noun}`,
    tag: 'Pauses',
    policy: { scope: 'admin' },
    summary: `Go on with ${what}`,
    request: params,
    responses: {
      200: json(z.object({ status: z.literal('resumed') }), 'It goes on.'),
      ...refusals,
      404: json(errorSchema, 'That is not paused.'),
    },
  });
  return { kind, put, remove };
}
