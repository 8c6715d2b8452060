import { type OpenAPIHono, z } from '@hono/zod-openapi';
import type { TaskService } from '../tasks/task-service.ts';
import { errorSchema } from './errors.ts';
import { createRoutes, defineRoute, json } from './openapi.ts';
import { wholeNumber } from './query.ts';

const seconds = { default: 60, max: 86_400 };

/** `/monitor/demand`: how many servers are wanted, for whoever starts and stops them. */
export function demandRoutes(tasks: Pick<TaskService, 'demand'>): OpenAPIHono {
  const app = createRoutes();

  app.openapi(demandRoute, async (context) => {
    const { within = seconds.default } = context.req.valid('query');
    const wanted = await tasks.demand(within * 1_000);
    const now = Date.now();
    return context.json(
      {
        within,
        servers_wanted: wanted.reduce((sum, each) => sum + each.serversWanted, 0),
        workflows: Object.fromEntries(
          wanted.map(({ name, waiting, running, waitingSince, serversWanted }) => [
            name,
            {
              waiting,
              running,
              oldest_wait: waitingSince && Math.max(0, now - waitingSince.getTime()) / 1_000,
              servers_wanted: serversWanted,
            },
          ]),
        ),
      },
      200,
    );
  });
  return app;
}

const query = z.object({
  within: wholeNumber(seconds.max, 'seconds')
    .optional()
    .openapi({
      type: 'integer',
      ...{ minimum: 1, maximum: seconds.max, default: seconds.default },
      description: 'Within how many seconds the waiting work has to be done.',
    }),
});

const demand = z
  .object({
    within: z.int().openapi({ description: 'Seconds, as asked.' }),
    servers_wanted: z.int().openapi({ description: 'By all workflows together.' }),
    workflows: z.record(
      z.string(),
      z.object({
        waiting: z.int(),
        running: z.int(),
        oldest_wait: z.number().nullable().openapi({
          description: 'Seconds that its oldest task has waited; null where none does.',
        }),
        servers_wanted: z.int().openapi({
          description:
            'How many servers, with the running ones, would do its work in that time. Its last tasks tell how long they take. Work that waits for a pause wants none.',
        }),
      }),
    ),
  })
  .openapi('Demand');

const demandRoute = defineRoute({
  method: 'get',
  path: '/monitor/demand',
  operationId: 'getDemand',
  tag: 'Monitoring',
  policy: { scope: 'backends:write' },
  summary: 'How many servers each workflow wants',
  description: 'For an autoscaler, which starts and stops ComfyUI servers.',
  request: { query },
  responses: {
    200: json(demand, 'What is wanted.'),
    400: json(errorSchema, 'The request is wrong; `field` says where.'),
    401: json(errorSchema, 'A key is needed.'),
    403: json(errorSchema, 'The key lacks the scope.'),
  },
});
