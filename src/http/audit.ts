import { type OpenAPIHono, z } from '@hono/zod-openapi';
import { type Act, acts } from '../audit/acts.ts';
import { type OperatorEvent, operatorEventKinds } from '../core/operator-event.ts';
import { errorSchema } from './errors.ts';
import { createRoutes, defineRoute, json } from './openapi.ts';
import { wholeNumber } from './query.ts';

/** What operators did. */
export interface AuditReader {
  newest(limit: number, before: number | null): Promise<readonly OperatorEvent[]>;
}

const limits = { default: 100, max: 1_000 };

/** `/monitor/operators`: who did what. */
export function auditRoutes(audit: AuditReader): OpenAPIHono {
  const app = createRoutes();

  app.openapi(listRoute, async (context) => {
    const { limit = limits.default, before = null } = context.req.valid('query');
    const events = await audit.newest(limit, before);
    return context.json({ events: events.map(present) }, 200);
  });
  return app;
}

const kinds = Object.entries<Act>(acts)
  .map(([kind, { of, tells }]) => `- \`${kind}\`, of ${of}: ${tells}.`)
  .join('\n');

const event = z
  .object({
    seq: z.int().openapi({ description: 'The later, the higher.', example: 17 }),
    at: z.iso.datetime(),
    actor: z.string().openapi({
      description: 'The name of the key that it came with; empty where no keys are asked for.',
      example: 'ops',
    }),
    gateway: z.uuid().openapi({ description: 'The gateway that was asked.' }),
    kind: z.enum(operatorEventKinds),
    subject: z.string().openapi({ example: 'http://10.0.0.7:8188' }),
    body: z.record(z.string(), z.unknown()).openapi({ example: { before: 'active' } }),
  })
  .openapi('OperatorEvent');

function present({ at, body, ...rest }: OperatorEvent): z.infer<typeof event> {
  return { ...rest, at: at.toISOString(), body: { ...body } };
}

const query = z.object({
  limit: wholeNumber(limits.max)
    .optional()
    .openapi({
      type: 'integer',
      ...{ minimum: 1, maximum: limits.max, default: limits.default },
      description: 'At most so many.',
      example: 20,
    }),
  before: wholeNumber(Number.MAX_SAFE_INTEGER).optional().openapi({
    type: 'integer',
    minimum: 1,
    description: 'Only events before the one with this `seq`: the last of the page before.',
    example: 1_000,
  }),
});

const listRoute = defineRoute({
  method: 'get',
  path: '/monitor/operators',
  operationId: 'listOperatorActs',
  tag: 'Monitoring',
  policy: { scope: 'admin' },
  summary: 'What operators did, the newest first',
  description: `Acts that changed nothing, were refused or failed are left out. Kinds:\n\n${kinds}`,
  request: { query },
  responses: {
    200: json(z.object({ events: z.array(event) }), 'The newest first.'),
    400: json(errorSchema, 'The request is wrong; `field` says where.'),
    401: json(errorSchema, 'A key is needed.'),
    403: json(errorSchema, 'The key lacks the scope.'),
  },
});
